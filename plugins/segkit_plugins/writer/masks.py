"""One mask PNG an image: class ids with a palette, or 0 and 255 for one nameless object."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from segkit import (
    BACKGROUND,
    BadValueError,
    Image,
    Labels,
    Masks,
    PackedMasks,
    Writer,
    hookimpl,
    palette,
    read_mask,
    write_file,
    write_png,
)
from segkit_plugins.shared.object_names import NAMELESS
from segkit_plugins.writer._files import file_for

OBJECTS = "masks/objects"

LARGEST_ID = (1 << 16) - 1
"""What a PNG of 16 bits holds."""


class MaskFiles(Writer):
    """`masks/NAME.png`, of the image's size.

    Where the result has classes with names, the file holds their ids under PASCAL VOC's palette (0
    background, 255 void). Where there is but one nameless object ('object'), it holds 0 and 255.
    Where the data set has class ids above 255, and for an image that shows one, it is a grey PNG of
    16 bits that holds the ids, without a palette.

    Where the class map does not tell the objects apart, because there are several or one is partly
    painted over, `masks/objects/NAME.npz` keeps each mask, bit by bit, for `segkit export`.
    """

    name = "masks"

    largest_id: ClassVar[int | None] = LARGEST_ID

    def write(
        self,
        directory: Path,
        image: Image,
        labels: Labels,
        masks: Masks | None = None,
        classes: Mapping[int, str] | None = None,
    ) -> tuple[Path, ...]:
        """Write an image's files. Raises `BadValueError` for class ids above 65535."""
        path = file_for(directory, "masks", image.name, ".png", spread=True)
        ids = np.unique(labels.ids).tolist()
        most = max([*ids, *(classes or {})], default=0)
        if ids and ids[-1] > LARGEST_ID:
            raise BadValueError(
                f"a mask file should hold class ids up to {LARGEST_ID}, but {image.name} has "
                f"{ids[-1]}; number the data set's classes from 1"
            )
        if most > 255:
            write_png(path, labels.ids.astype(np.uint16))
        elif _nameless(labels.classes) and set(ids) <= {BACKGROUND, 1}:
            write_png(path, np.where(labels.ids > 0, 255, 0).astype(np.uint8))
        else:
            write_png(path, labels.ids.astype(np.uint8), palette())
        if masks is None or not len(masks) or _is_alone(labels.ids, masks):
            return (path,)
        content = io.BytesIO()
        if isinstance(masks.held, PackedMasks):
            arrays: dict[str, Any] = masks.held.to_arrays()
        else:
            arrays = {"bits": np.packbits(masks.masks, axis=-1), "width": masks.size[1]}
        np.savez_compressed(content, **arrays)
        objects = file_for(directory, OBJECTS, image.name, ".npz", spread=True)
        return path, write_file(objects, content.getvalue())

    def read(
        self, directory: Path, name: str, classes: Mapping[int, str], count: int
    ) -> tuple[Labels, NDArray[np.bool_] | PackedMasks]:
        """What `write` has left of an image: its class map, and its masks (count, H, W) bool.

        Masks that were packed, as they are where they are large, stay so.

        `classes` and `count` are those of the image's line in results.jsonl. Raises
        `BadValueError` where the masks are not `count`, `BadImageError` and `OSError` where a file
        cannot be read.
        """
        ids = read_mask(file_for(directory, "masks", name, ".png", spread=True))
        if _nameless(classes) and {*np.unique(ids).tolist()} <= {BACKGROUND, 255}:
            ids = (ids > 0).astype(np.int32)
        masks: NDArray[np.bool_] | PackedMasks = _alone(ids, count)
        objects = file_for(directory, OBJECTS, name, ".npz", spread=True)
        if objects.exists():
            try:
                with np.load(objects) as file:
                    masks = _masks_in(dict(file))
            except (ValueError, KeyError, EOFError, BadValueError):
                raise BadValueError(f"'{objects}' is damaged; run the image again") from None
        size = masks.size if isinstance(masks, PackedMasks) else masks.shape[1:]
        if (len(masks), *size) != (count, *ids.shape):
            raise BadValueError(
                f"{name} should have {count} masks of {ids.shape[1]}x{ids.shape[0]} pixels, but "
                f"'{objects}' holds {len(masks)}; run the image again with this segkit"
            )
        return Labels(ids.astype(np.int32), dict(classes)), masks


def _nameless(classes: Mapping[int, str]) -> bool:
    return {*classes.values()} <= {NAMELESS}


def _masks_in(arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_] | PackedMasks:
    """The masks that a file of objects holds."""
    if "boxes" in arrays:
        return PackedMasks.from_arrays(arrays)
    return np.unpackbits(arrays["bits"], axis=-1, count=int(arrays["width"])).astype(bool)


def _is_alone(ids: NDArray[np.integer], masks: Masks) -> bool:
    """Whether a class map says all of the masks: there is one, and it is all that it shows."""
    return len(masks) == 1 and np.array_equal(masks.at(0), ids != BACKGROUND)


def _alone(ids: NDArray[np.integer], count: int) -> NDArray[np.bool_]:
    """The masks (count, H, W) bool of which a class map says all: none, or all that it shows."""
    return np.repeat((ids != BACKGROUND)[None], min(count, 1), axis=0)


@hookimpl
def segkit_writers() -> Sequence[type[Writer]]:
    """Register `masks`."""
    return [MaskFiles]
