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
        import torch
        import torch.nn.functional as F

        found: Any = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None]
        if self.content != self.picture:
            found = F.interpolate(found, self.content, mode="bilinear", align_corners=False)
        made = np.full((*self.target, 3), GREY, np.uint8)
        (top, left), (height, width) = self.offset, self.content
        made[top : top + height, left : left + width] = found[0].permute(1, 2, 0).numpy()
        return made

    def back(self, edges: NDArray[np.float32]) -> NDArray[np.float64]:
        """Boxes (n, 4) in the input as boxes in the picture, both by their edges.

        Each way has its own scale: what was rounded to whole pixels is not the same for both.
        """
        scale = np.array(self.picture[::-1]) / np.array(self.content[::-1])
        moved = edges.reshape(-1, 2, 2).astype(np.float64) - np.array(self.offset[::-1])
        return (moved * scale).reshape(-1, 4)
