"""One image and its candidate masks on a small grid, where all that is asked of them is cheap."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from segkit import Image, PackedMasks

if TYPE_CHECKING:
    from segkit_plugins.shared.nano_objectness import DenseLayers

Array = NDArray[np.float32]

SIDE = 128
"""The grid's longer side. Outlines of masks are told on it to about half a percent of that."""
SHORTEST = 8
"""The grid's shorter side at least, however long and narrow the image is."""


@dataclass(frozen=True, eq=False)
class Scene:
    """What is seen of one image; (h, w) is the grid, (r, c) the places of the embedding."""

    pixels: NDArray[np.uint8]
    """(h, w, 3) RGB."""
    things: Array
    """(h, w) in [0, 1]: whether the thing that the picture is about lies there."""
    people: Array
    """(h, w) in [0, 1]: whether a person does."""
    embedding: Array
    """(r, c, channels) of the image encoder."""

    @property
    def size(self) -> tuple[int, int]:
        """(h, w)."""
        return self.things.shape[0], self.things.shape[1]

    @cached_property
    def colours(self) -> Array:
        """(h, w, 3) float32: brightness, red against green, yellow against blue, each 0 … 1."""
        red, green, blue = np.moveaxis(self.pixels.astype(np.float32) / 255, 2, 0)
        yellow = (red + green) / 2
        channels = [(red + green + blue) / 3, (red - green + 1) / 2, (yellow - blue + 1) / 2]
        return np.stack(channels, axis=2)

    @cached_property
    def bins(self) -> NDArray[np.int64]:
        """(h · w,): which of 6 × 6 × 6 colours each place has."""
        levels = self.pixels.reshape(-1, 3).astype(np.int64) * 6 // 256
        return np.asarray(levels @ np.array([36, 6, 1]))

    @cached_property
    def cells(self) -> NDArray[np.int64]:
        """(h · w,): in which place of the embedding each place of the grid lies."""
        (h, w), (rows, columns) = self.size, self.embedding.shape[:2]
        down, across = np.arange(h) * rows // h, np.arange(w) * columns // w
        return np.asarray(down[:, None] * columns + across).ravel()


def seen(image: Image, layers: DenseLayers) -> Scene:
    """The image as the features take it."""
    from PIL import Image as Pillow

    grid = grid_of(image.size)
    small = Pillow.fromarray(image.pixels).resize(grid[::-1], Pillow.Resampling.BILINEAR)
    return Scene(
        np.asarray(small),
        layers.probabilities(image, "any", grid),
        layers.probabilities(image, "person", grid),
        layers.embedding(image),
    )


def grid_of(size: tuple[int, int]) -> tuple[int, int]:
    """(h, w) of the grid for an image of (H, W)."""
    scale = SIDE / max(size)
    height, width = (max(SHORTEST, round(n * scale)) for n in size)
    return height, width


def sampled(masks: NDArray[np.bool_] | PackedMasks, grid: tuple[int, int]) -> NDArray[np.bool_]:
    """Masks (n, H, W) at the middles of the grid's places: (n, h, w)."""
    size = masks.size if isinstance(masks, PackedMasks) else masks.shape[1:]
    lines = [
        ((np.arange(n) + 0.5) * full / n).astype(np.int64)
        for n, full in zip(grid, size, strict=True)
    ]
    small = np.zeros((len(masks), *grid), bool)
    for out, mask in zip(small, masks, strict=True):
        out[...] = mask[lines[0][:, None], lines[1]]
    return small
