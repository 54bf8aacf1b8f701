"""One mask PNG an image: class ids with a palette, or 0 and 255 for one nameless object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segkit import (
    BACKGROUND,
    BadValueError,
    Image,
    Labels,
    Writer,
    hookimpl,
    palette,
    write_png,
)
from segkit_plugins.shared.object_names import NAMELESS
from segkit_plugins.writer._files import file_for


class MaskFiles(Writer):
    """`masks/NAME.png`, of the image's size.

    Where the result has classes with names, the file holds their ids under PASCAL VOC's palette (0
    background, 255 void). Where there is but one nameless object ('object'), it holds 0 and 255.
    """

    name = "masks"

    def write(self, directory: Path, image: Image, labels: Labels) -> tuple[Path, ...]:
        """Write one file. Raises `BadValueError` for class ids above 255, which a PNG has not."""
        path = file_for(directory, "masks", image.name, ".png")
        ids = np.unique(labels.ids).tolist()
        if ids and ids[-1] > 255:
            raise BadValueError(
                f"a mask file should hold class ids up to 255, but {image.name} has {ids[-1]}; "
                "number the data set's classes from 1"
            )
        if set(labels.classes.values()) <= {NAMELESS} and set(ids) <= {BACKGROUND, 1}:
            write_png(path, np.where(labels.ids > 0, 255, 0).astype(np.uint8))
        else:
            write_png(path, labels.ids.astype(np.uint8), palette())
        return (path,)


@hookimpl
def segkit_writers() -> Sequence[type[Writer]]:
    """Register `masks`."""
    return [MaskFiles]
