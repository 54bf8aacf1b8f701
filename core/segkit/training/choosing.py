"""What is trained and how, before any network is there: nothing heavy is imported for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from segkit.errors import PluginError, UsageError
from segkit.plugins.catalog import Catalog
from segkit.plugins.signatures import option_error
from segkit.plugins.trainable import Trainable
from segkit.training.settings import Settings


def trainable(catalog: Catalog, name: str) -> type[Trainable]:
    """The segmenter's class. Raises `UsageError` if it has nothing to train."""
    cls = catalog.load("segmenter", name)
    if issubclass(cls, Trainable):
        return cls
    others = []
    for entry in catalog.entries("segmenter"):
        try:
            if issubclass(catalog.load_entry(entry), Trainable):
                others.append(entry.name)
        except PluginError:
            continue
    raise UsageError(
        f"the segmenter '{name}' has no network that segkit trains; choose one of "
        f"{', '.join(others)}"
    )


def check_untrained(network: Trainable) -> None:
    """Refuse, with `UsageError`, a segmenter that has weights already."""
    if network.weights is not None:
        raise UsageError(
            f"--{network.name}.weights is for segkit run; training begins from new weights"
        )


def make_settings(options: Mapping[str, Any]) -> Settings:
    """The options of a training. Raises `UsageError` naming the first that does not fit."""
    settings: Any = Settings
    try:
        return Settings.model_validate(dict(options))
    except ValidationError as error:
        raise UsageError(option_error(settings, error)) from None
