"""A picture fitted into a network's input with its sides in proportion, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]

GREY = 114
"""What YOLO networks see around a picture."""


@dataclass(frozen=True)
class Letterbox:
    """How a picture lies in the input; all sizes are (H, W)."""

    picture: Size
    content: Size
    """Of the picture in the input, at least one pixel each way."""
    target: Size
    """Of the input."""
    offset: tuple[int, int]
    """Rows above, columns before."""

    @classmethod
    def fit(
        cls,
        picture: Size,
        room: Size,
        multiple: int | None = None,
        corner: bool = False,
        margin: int = 0,
    ) -> Letterbox:
        """As large as it fits into `room`.

        `multiple`: the input may be smaller than the room, by whole multiples of this; None: it is
        the room. `corner`: the picture lies in the top-left corner, its size rounded down, as
        YOLOX has it; else in the middle. `margin`: how much less of the room is used each way.
        """
        scale = min(max(1, r - margin) / p for r, p in zip(room, picture, strict=True))
        whole = int if corner else round
        height, width = (
            min(max(1, whole(p * scale)), r) for p, r in zip(picture, room, strict=True)
        )
        target = room
        if multiple is not None:
            rows, columns = -(-height // multiple), -(-width // multiple)
            target = (rows * multiple, columns * multiple)
        offset = (0, 0) if corner else ((target[0] - height) // 2, (target[1] - width) // 2)
        return cls(picture, (height, width), target, offset)

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The input (h, w, 3): the picture resized bilinearly, grey around it."""
        fitted = pixels if self.content == self.picture else resized(pixels, self.content)
        canvas = np.full((*self.target, 3), GREY, np.uint8)
        (top, left), (height, width) = self.offset, self.content
        canvas[top : top + height, left : left + width] = fitted
        return canvas

    def back(self, edges: NDArray[np.float32]) -> NDArray[np.float64]:
        """Boxes (n, 4) in the input as boxes in the picture, both by their edges.

        Each way has its own scale: what was rounded to whole pixels is not the same for both.
        """
        scale = np.array(self.picture[::-1]) / np.array(self.content[::-1])
        moved = edges.reshape(-1, 2, 2).astype(np.float64) - np.array(self.offset[::-1])
        return (moved * scale).reshape(-1, 4)


ONE = 2048
"""The weight 1 in whole numbers."""


def resized(pixels: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Bytes (H, W, 3) resized bilinearly to (h, w, 3).

    YOLO networks are trained and tried on what OpenCV's resize makes: two neighbours each way, none
    more however small the picture becomes, weighed in whole numbers of 1/2048. The same numbers are
    used here, so that a network sees the same picture to the bit.
    """
    rows, other_rows, down, other_down = _neighbours(pixels.shape[0], size[0])
    columns, other_columns, across, other_across = _neighbours(pixels.shape[1], size[1])
    # A column beyond the border counts for nothing, a row beyond it is the last one again: this
    # decides how they are rounded.
    beyond = columns == other_columns
    across, other_across = np.where(beyond, ONE, across), np.where(beyond, 0, other_across)
    used, places = np.unique(np.concatenate([rows, other_rows]), return_inverse=True)
    lines = pixels[used].astype(np.int32)
    lines = lines[:, columns] * across[:, None] + lines[:, other_columns] * other_across[:, None]
    lines >>= 4
    above, below = places.reshape(2, -1)
    mixed = (lines[above] * down[:, None, None] >> 16) + (
        lines[below] * other_down[:, None, None] >> 16
    )
    return (mixed + 2 >> 2).astype(np.uint8)


def _neighbours(old: int, new: int) -> tuple[NDArray[Any], ...]:
    """For each of `new` pixels along an axis its two neighbours out of `old`, and their weights."""
    middles = ((np.arange(new) + 0.5) * (1 / (new / old)) - 0.5).astype(np.float32)
    first = np.floor(middles).astype(np.int64)
    share = middles - first.astype(np.float32)
    weights = np.rint((1 - share) * ONE).astype(np.int32), np.rint(share * ONE).astype(np.int32)
    return first.clip(0, old - 1), (first + 1).clip(0, old - 1), *weights
