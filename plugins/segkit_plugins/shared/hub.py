"""Models of transformers on the disk: a folder, or a name of the hub that was fetched before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segkit import MissingExtraError, UsageError


def model_folder(option: str, model: str) -> Path:
    """The folder of a model: itself, or that of `OWNER/NAME` in the hub's cache; no network.

    `option`: the flag that asks for it, such as '--dpt.model'. Raises `UsageError` if there is
    neither, `MissingExtraError` without huggingface_hub.
    """
    if Path(model).is_dir():
        return Path(model)
    name = model.removeprefix("hf:")
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
    except ModuleNotFoundError:
        raise MissingExtraError(f"{option} {model}", "huggingface_hub", "hf") from None
    try:
        return Path(snapshot_download(name, local_files_only=True))
    except HFValidationError:
        raise UsageError(
            f"{option} {model} is no folder and no name of the hub; give a model folder, or "
            "OWNER/NAME"
        ) from None
    except LocalEntryNotFoundError:
        raise UsageError(
            f"{option} {model} is no folder, and no model of that name was fetched from the hub; "
            f"check the path, or run: segkit weights fetch hf:{name}"
        ) from None


@contextmanager
def quiet() -> Iterator[None]:
    """No bars and reports of transformers' own."""
    from transformers.utils import logging

    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
