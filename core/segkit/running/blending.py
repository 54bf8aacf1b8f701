"""Heat of tiles as heat of the whole image, and the whole image at the size of a tile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from segkit.running.tiles import Grid, Tile
from segkit.values.types import Heatmap, Image, Labels, Truth

PIXELS = 1 << 27
"""With more pixels than this together, 512 MiB, an image's heatmaps wait as those of its tiles."""

FLAT = 1e-5
"""A map whose values differ by no more than this share is the same everywhere, but for rounding."""

STRIP = 256
"""Rows of the small image that are made at a time."""

Map: TypeAlias = NDArray[np.float32]
"""(h, w) float32 of at least 0, over a whole tile, at any resolution."""


def blended(grid: Grid, maps: Sequence[Map | None]) -> NDArray[np.float32]:
    """(H, W): each tile's map at the tile's size, weighted where tiles overlap; None: zeros."""
    values = np.zeros(grid.size, np.float32)
    for tile, (down, across), low in zip(grid.tiles, grid.weights, maps, strict=True):
        if low is not None:
            values[tile.place] += resized(low, tile.size) * down[:, None] * across
    return values


def heatmap_of(
    grid: Grid,
    maps: Sequence[Map | None],
    name: str | None,
    score: float,
    *,
    stretch: bool,
    of: int,
) -> Heatmap:
    """The heatmap that the maps of an image's tiles make, one `of` so many of the image.

    `stretch`: the least value of the image becomes 0, the greatest 1.
    """
    make = partial(_values, grid, tuple(maps), stretch)
    if of * grid.size[0] * grid.size[1] > PIXELS:
        return Heatmap.deferred(make, grid.size, name, score)
    return Heatmap(make(), name, score)


def _values(grid: Grid, maps: Sequence[Map | None], stretch: bool) -> NDArray[np.float32]:
    values = blended(grid, maps)
    if stretch:
        lowest, highest = float(values.min()), float(values.max())
        if highest - lowest <= FLAT * highest:
            values = (values > 0).astype(np.float32)
        else:
            values -= np.float32(lowest)
            values /= np.float32(highest - lowest)
    np.clip(values, 0, 1, out=values)
    values.flags.writeable = False
    return values


def levelled(heatmap: Heatmap, whole: Heatmap, tile: Tile, size: tuple[int, int]) -> Map:
    """A tile's heat, as hot at most as `whole`, the heat of an image of (H, W), is in the tile."""
    (top, left), (bottom, right) = (
        [round_(n * m / k) for n, m, k in zip(corner, whole.values.shape, size, strict=True)]
        for round_, corner in (
            (math.floor, (tile.top, tile.left)),
            (math.ceil, (tile.bottom, tile.right)),
        )
    )
    most, own = whole.values[top:bottom, left:right].max(), heatmap.values.max()
    return heatmap.values * np.float32(most / own) if own > 0 else heatmap.values


def resized(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """A map at another size (h, w), bilinearly, the centres of pixels aligned."""
    if values.shape == size:
        return values
    from PIL import Image as Pictures

    picture = Pictures.fromarray(np.ascontiguousarray(values, np.float32))
    made = picture.resize((size[1], size[0]), Pictures.Resampling.BILINEAR)
    return np.asarray(made, np.float32)


def cropped(values: NDArray[np.float32], tile: Tile, size: tuple[int, int]) -> NDArray[np.float32]:
    """The part of a map of an image of (H, W), at any resolution, that covers a tile."""
    from PIL import Image as Pictures

    (height, width), scale = values.shape, (values.shape[0] / size[0], values.shape[1] / size[1])
    own = [max(1, round(n * k)) for n, k in zip(tile.size, scale, strict=True)]
    top, bottom = tile.top * scale[0], min(tile.bottom * scale[0], height)
    left, right = tile.left * scale[1], min(tile.right * scale[1], width)
    made = Pictures.fromarray(np.ascontiguousarray(values, np.float32)).resize(
        (own[1], own[0]), Pictures.Resampling.BILINEAR, (left, top, right, bottom)
    )
    return np.asarray(made, np.float32)


def shrunk(image: Image, side: int) -> Image:
    """The image with its longer side at `side` pixels or less: means of the pixels it stands for.

    Strip by strip, so that it takes the memory of a few of them.
    """
    from PIL import Image as Pictures

    height, width = image.size
    scale = max(image.size) / side
    rows, columns = (max(1, round(n / scale)) for n in image.size)
    pixels = np.empty((rows, columns, 3), np.uint8)
    for start in range(0, rows, STRIP):
        end = min(start + STRIP, rows)
        first, last = start * height / rows, min(end * height / rows, height)
        top = math.floor(first)
        strip = Pictures.fromarray(image.pixels[top : math.ceil(last)])
        box = (0, first - top, width, last - top)
        size = (columns, end - start)
        pixels[start:end] = np.asarray(strip.resize(size, Pictures.Resampling.BOX, box))
    return Image(pixels, image.name)


def shrunk_truth(truth: Truth, size: tuple[int, int]) -> Truth:
    """The truth at (h, w): pixels taken here and there, and one at least of each class."""
    ids = truth.labels.ids
    rows, columns = (
        ((np.arange(n) + 0.5) * m / n).astype(np.int64)
        for n, m in zip(size, ids.shape, strict=True)
    )
    small = ids[np.ix_(rows, columns)]
    for lost in np.setdiff1d(ids, small):
        y, x = np.unravel_index(int((ids == lost).argmax()), ids.shape)
        small[y * size[0] // ids.shape[0], x * size[1] // ids.shape[1]] = lost
    return Truth(Labels(small, truth.labels.classes))


def truth_of(truth: Truth, tile: Tile) -> Truth:
    """The truth of a tile."""
    labels = Labels(np.ascontiguousarray(truth.labels.ids[tile.place]), truth.labels.classes)
    instances = truth.instances
    return Truth(labels, None if instances is None else np.ascontiguousarray(instances[tile.place]))
