"""A writer's `finish`, whichever version of the plugin API it was written for."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segkit import deprecations
from segkit.plugins.contract import named
from segkit.plugins.steps import Writer


def finishes(writer: Writer) -> bool:
    """Whether the writer has anything to write that needs all images."""
    return type(writer).finish is not Writer.finish


def asks_for_images(cls: type[Writer]) -> bool:
    """Whether its `finish` is told which images are finished, as from plugin API 2 on."""
    return "images" in inspect.signature(cls.finish).parameters


def finish(writer: Writer, directory: Path, images: Sequence[str]) -> Any:
    """Call `finish`, and give what it returns. `images`: the names of those that are finished.

    A writer of plugin API 1 takes the folder alone: it is called so, and then warned of.
    """
    call: Any = writer.finish
    if asks_for_images(type(writer)):
        return call(directory, images=tuple(images))
    returned = call(directory)
    deprecations.warn(deprecations.FINISH, named(writer), stacklevel=2)
    return returned
