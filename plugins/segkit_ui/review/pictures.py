"""Photos and masks as a browser shows them: no larger than a screen, so a click is quick."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray

from segkit.values.types import Image

SIDE = 1600
"""The longest side of what is shown."""

FILL, EDGE = 1, 2
"""The values of a mask's picture: inside, and its border; 0 is transparent."""


def shown_size(size: tuple[int, int], side: int = SIDE) -> tuple[int, int]:
    """The (H, W) at which an image of (H, W) is shown: its own if it fits, else scaled down."""
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def photo_url(image: Image, side: int = SIDE) -> str:
    """The photo as a `data:` address of a JPEG."""
    import PIL.Image

    picture = PIL.Image.fromarray(image.pixels)
    height, width = shown_size(image.size, side)
    if (height, width) != image.size:
        picture = picture.resize((width, height), reducing_gap=2.0)
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=88)
    return _url("jpeg", content.getvalue())


def mask_url(mask: NDArray[np.bool_], side: int = SIDE) -> str:
    """A mask (H, W) as a `data:` address of a PNG: its inside half clear, its border opaque.

    It is white; the page colours it.
    """
    import PIL.Image

    height, width = shown_size(mask.shape, side)
    rows = np.linspace(0, mask.shape[0] - 1, height).round().astype(int)
    columns = np.linspace(0, mask.shape[1] - 1, width).round().astype(int)
    small = mask[rows[:, None], columns]
    inner = small.copy()
    for _ in range(2 if max(height, width) > SIDE // 2 else 1):
        inner = _shrunk(inner)
    picture = PIL.Image.fromarray(np.where(inner, FILL, np.where(small, EDGE, 0)).astype(np.uint8))
    picture.putpalette([0, 0, 0, *[255] * 6])
    content = io.BytesIO()
    picture.save(content, "PNG", transparency=bytes([0, 104, 255]), compress_level=1)
    return _url("png", content.getvalue())


def _shrunk(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask without the pixels that touch something else; the image's border counts as mask."""
    inner = mask.copy()
    inner[1:] &= mask[:-1]
    inner[:-1] &= mask[1:]
    inner[:, 1:] &= mask[:, :-1]
    inner[:, :-1] &= mask[:, 1:]
    return inner


def _url(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
