"""Click on the centre of the hottest region and on its eight neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt

from segkit import Heatmap, Prompt, Prompter, Prompts, hookimpl


class CentroidGrid(Prompter):
    """The heat-weighted centre of mass of the hottest pixels and its eight neighbours.

    The nine foreground points are the 3×3 grid around the centre, moved into the image where they
    leave it; points that coincide are kept once. The centre need not lie on a pixel, nor on the
    hot region if that is bent or in parts. Background points, if asked for, are the top-, bottom-,
    left- and right-most pixel of the cold region (of several, the middle one), without repeats; hot
    pixels and those under a foreground point are never cold. A heatmap without heat makes no
    prompt; one that is the same everywhere has its centre in the middle of the image.
    """

    name = "centroid-grid"
    concurrent = True

    threshold: float = Field(0.8, gt=0, le=1)
    """A pixel counts if its heat is greater than this share of the heatmap's maximum; the maximum
    itself always counts."""

    offset: NonNegativeInt = 1
    """Distance of the neighbours from the centre along each axis, in pixels."""

    background: bool = False
    """Add the outermost pixels of the cold region as background points."""

    cold: float = Field(0.1, gt=0, le=1)
    """Pixels of less heat than this are cold; heat lies in [0, 1]."""

    def __call__(self, heatmap: Heatmap) -> Prompts:
        """One prompt of up to nine foreground, then up to four background points; or none."""
        values = heatmap.values
        top = values.max()
        if top <= 0:
            return Prompts()
        hot = (values > self.threshold * top) | (values == top)
        heat = np.where(hot, values, 0)
        by_column, by_row = heat.sum(axis=0, dtype=float), heat.sum(axis=1, dtype=float)
        moments = [by_column @ np.arange(len(by_column)), by_row @ np.arange(len(by_row))]
        centre = np.array(moments) / by_row.sum()
        steps = self.offset * np.array([(0, 0), *_NEIGHBOURS])
        last = np.array(values.shape[::-1]) - 1
        points = _different(np.clip(centre + steps, 0, last))
        cold = self._cold(values, hot, points) if self.background else points[:0]
        signs = np.arange(len(points) + len(cold)) < len(points)
        return Prompts((Prompt(np.concatenate([points, cold]), signs),))

    def _cold(
        self, values: NDArray[np.float32], hot: NDArray[np.bool_], points: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """The background points (n, 2)."""
        region = ~hot & (values < self.cold)
        x, y = np.rint(points).astype(int).T
        region[y, x] = False
        return _outermost(region)


_NEIGHBOURS = [(x, y) for y in (-1, 0, 1) for x in (-1, 0, 1) if x or y]


def _outermost(region: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(n, 2) x, y of the top-, bottom-, left- and right-most pixel, none of an empty region."""
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    if not len(rows):
        return np.zeros((0, 2), np.float32)
    points = [(_middle(region[y]), y) for y in (rows[0], rows[-1])]
    points += [(x, _middle(region[:, x])) for x in (columns[0], columns[-1])]
    return _different(np.array(points))


def _middle(line: NDArray[np.bool_]) -> int:
    """The middle one of the marked places."""
    places = np.flatnonzero(line)
    return int(places[(len(places) - 1) // 2])


def _different(points: NDArray[np.float64]) -> NDArray[np.float32]:
    """The points (n, 2) as float32 without repeats, in the order of their first occurrence."""
    rounded = points.astype(np.float32)
    return rounded[np.sort(np.unique(rounded, axis=0, return_index=True)[1])]


@hookimpl
def segkit_prompters() -> Sequence[type[Prompter]]:
    """Register `centroid-grid`."""
    return [CentroidGrid]
