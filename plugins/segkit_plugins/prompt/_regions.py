"""Regions of a heatmap: what is hot, its connected parts, their middles."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segkit import Prompt
from segkit_plugins.prompt._peaks import brightest

Region = NDArray[np.bool_]
"""(H, W) bool."""

Asking: TypeAlias = Literal["point", "box", "both"]
"""What is asked of a region: its brightest pixel, its tight box, or both."""


def hot(values: NDArray[np.float32], level: float) -> Region:
    """The pixels of `values` (H, W) of at least `level` × the maximum; none without heat."""
    top = float(values.max())
    region: Region = (values >= level * top) & (values > 0)
    return region


def cold(values: NDArray[np.float32], level: float) -> Region:
    """The pixels below `level` × the maximum; all of them without heat."""
    region: Region = ~hot(values, level)
    return region


def parts(region: Region, most: int, least: int = 1) -> list[Region]:
    """The `most` largest connected parts (8 neighbours) of at least `least` pixels, largest first.

    Equally large ones come in the order of their first pixel, row by row. Each is an array of
    the region's size, and a speckled region has thousands of parts: hence the limit.
    """
    from scipy import ndimage

    labels, count = ndimage.label(region, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    order = np.argsort(-sizes, kind="stable")
    return [labels == i + 1 for i in order[:most] if sizes[i] >= least]


def asked_of(region: Region, values: NDArray[np.float32], ask: Asking) -> Prompt:
    """The prompt for one region of a heatmap's values, both (H, W)."""
    points = brightest(np.where(region, values, np.float32(0))) if ask != "box" else ()
    return Prompt(points=points, box=tight_box(region) if ask != "point" else None)


def depth(region: Region) -> NDArray[np.float32]:
    """(H, W): of each pixel of a region the distance to its border or the image's, in pixels."""
    from scipy import ndimage

    distances = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    return np.asarray(distances, np.float32)


def middle(region: Region) -> tuple[float, float]:
    """X and y of a region's most interior pixel; of several the one nearest to their centre."""
    x, y = brightest(depth(region))[0]
    return float(x), float(y)


def tight_box(region: Region, margin: float = 0.0) -> tuple[float, float, float, float]:
    """The first and last x and y of a region, `margin` × its sides wider, inside the image.

    A negative margin draws the ends together, to the middle at most. The region is not empty.
    """
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    x0, x1, y0, y1 = (float(n) for n in (columns[0], columns[-1], rows[0], rows[-1]))
    dx = max(margin * (x1 - x0 + 1), -(x1 - x0) / 2)
    dy = max(margin * (y1 - y0 + 1), -(y1 - y0) / 2)
    height, width = region.shape
    return max(0, x0 - dx), max(0, y0 - dy), min(width - 1, x1 + dx), min(height - 1, y1 + dy)
