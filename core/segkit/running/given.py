"""Pictures at hand as a data set: files, arrays, `Image` values, pictures of Pillow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import PrivateAttr

from segkit.errors import SegkitError, UsageError
from segkit.plugins.steps import Dataset
from segkit.values.images import read_image
from segkit.values.types import Image, Truth

Picture: TypeAlias = "str | Path | NDArray[np.uint8] | Image | Any"
"""A file, pixels (H, W, 3) uint8 RGB, an `Image`, or a picture of Pillow."""

NAMELESS = "image"
"""What a picture is called that has no name."""


class Given(Dataset):
    """Pictures at hand, read one by one; their names may be the same."""

    name = "given"
    _pictures: Sequence[Picture] = PrivateAttr(())
    _truth: Truth | None = PrivateAttr(None)
    _raised: dict[int, SegkitError] = PrivateAttr(default_factory=dict)

    @classmethod
    def of(cls, pictures: Sequence[Picture], truth: Truth | None = None) -> Given:
        """A data set of these; `truth`: that of each.

        Raises `UsageError` for what is no picture.
        """
        given = cls()
        for picture in pictures:
            check_picture(picture)
        given._pictures = pictures
        given._truth = truth
        return given

    @property
    def names(self) -> Sequence[str]:
        """Each picture's own name."""
        return [_name_of(picture) for picture in self._pictures]

    @property
    def classes(self) -> Mapping[int, str]:
        """Those that the truth names."""
        return {} if self._truth is None else self._truth.labels.classes

    @property
    def has_truth(self) -> bool:
        """Whether it was given a truth."""
        return self._truth is not None

    @property
    def raised(self) -> dict[int, SegkitError]:
        """The place of each picture that could not be read, and why."""
        return self._raised

    def __getitem__(self, index: int) -> tuple[Image, Truth | None]:
        """The picture, and the truth."""
        try:
            return image_of(self._pictures[index]), self._truth
        except SegkitError as error:
            self._raised[index] = error
            raise


def check_picture(picture: Picture) -> None:
    """Raise `UsageError` for what is no picture."""
    known = isinstance(picture, (Image, str, Path, np.ndarray)) or hasattr(picture, "convert")
    if not known:
        raise UsageError(
            "a pipeline takes a file, pixels (H, W, 3) uint8, an Image or a Pillow picture, but "
            f"was given a {type(picture).__name__}"
        )


def image_of(picture: Picture) -> Image:
    """The picture as a value. Raises `BadImageError` for files, `BadValueError` for arrays."""
    if isinstance(picture, Image):
        return picture
    if isinstance(picture, (str, Path)):
        return read_image(picture)
    pixels = picture if isinstance(picture, np.ndarray) else np.asarray(picture.convert("RGB"))
    return Image(pixels, NAMELESS)


def _name_of(picture: Picture) -> str:
    """What a picture is called; it is not read for it."""
    if isinstance(picture, (str, Path)):
        return Path(picture).stem or NAMELESS
    return picture.name if isinstance(picture, Image) else NAMELESS
