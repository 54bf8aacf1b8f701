"""Reference images with masks: a folder for each class, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from segkit import BadImageError, UsageError, find_images, read_image, read_mask

MASK = ".mask"
"""What the stem of a mask's file ends in: photo.jpg has photo.mask.png."""

Example: TypeAlias = "tuple[NDArray[np.uint8], NDArray[np.bool_]]"
"""Pixels (H, W, 3) and where the object is (H, W)."""


def examples_by_class(option: str, folder: Path) -> Mapping[str, tuple[Example, ...]]:
    """The references of each class, in the order of the classes' names.

    `folder` has a sub-folder for each class, in which each photo has its mask. `option` asks for
    it, such as '--reference.examples'. Raises `UsageError` for a folder without classes, and as
    `examples_of` does.
    """
    if not folder.is_dir():
        raise UsageError(f"{option} {folder} is no folder; give one with a sub-folder a class")
    classes = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not classes:
        raise UsageError(
            f"{option} {folder} has no sub-folder; give each class one, with its photos and masks, "
            "such as zebra/1.jpg and zebra/1.mask.png"
        )
    return {path.name: examples_of(option, path) for path in classes}


def examples_of(option: str, folder: Path) -> tuple[Example, ...]:
    """The photos of one folder with their masks.

    Raises `UsageError` for a folder without photos, a photo without mask, a mask that is empty or
    of another size than its photo, and files that cannot be read.
    """
    if not folder.is_dir():
        raise UsageError(f"{option} {folder} is no folder; give one with photos and masks")
    files: list[Path] = []
    with suppress(UsageError):  # it has none
        files += find_images([folder])
    masks = {path.stem.removesuffix(MASK): path for path in files if path.stem.endswith(MASK)}
    photos = [path for path in files if not path.stem.endswith(MASK)]
    if not photos:
        raise UsageError(f"{option}: {folder} holds no photo; add some, or drop the folder")
    examples: list[Example] = []
    for photo in photos:
        if photo.stem not in masks:
            raise UsageError(
                f"{option}: {photo} has no mask; add {photo.stem}{MASK}.png beside it, 0 where the "
                "object is not"
            )
        try:
            pixels = read_image(photo).pixels
            inside = read_mask(masks[photo.stem]) > 0
        except BadImageError as error:
            raise UsageError(f"{option}: {error}") from None
        if inside.shape != pixels.shape[:2]:
            sizes = [f"{n.shape[1]}x{n.shape[0]}" for n in (inside, pixels)]
            raise UsageError(
                f"{option}: the mask {masks[photo.stem]} is {sizes[0]}, but its photo {sizes[1]}; "
                "give one of the photo's size"
            )
        if not inside.any():
            raise UsageError(
                f"{option}: the mask {masks[photo.stem]} is empty; mark the object in it, or drop "
                "the photo"
            )
        examples.append((pixels, inside))
    return tuple(examples)
