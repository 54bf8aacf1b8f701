"""Which pixels of a heatmap are brightest, with equals in a defined order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]
"""(n, 2) float32, x and y in pixels."""


def brightest(values: NDArray[np.float32], k: int = 1, min_distance: int = 0) -> Points:
    """The up to `k` brightest pixels of `values` (H, W), brightest first.

    Equally bright pixels come in the order of their distance to the centre of mass of all pixels
    that bright, then by row, then by column: the peak of a plateau is its middle. A pixel is
    passed over if it is closer than `min_distance` pixels (Euclidean) to one already chosen, or
    if its value is zero; so there may be fewer than `k`, and none in a heatmap without heat.
    """
    if k == 1:
        return _points(_first(values, values), values)
    if min_distance > 1:
        return _points(_apart(values, k, min_distance), values)
    flat = values.ravel()
    k = min(k, int(np.count_nonzero(flat)))
    if not k:
        return _points([], values)
    least = np.partition(flat, flat.size - k)[flat.size - k]
    above = np.flatnonzero(flat > least)
    equal = np.flatnonzero(flat == least)
    above = above[np.argsort(-flat[above], kind="stable")]
    # `above` is short of k; equals in it are put in order level by level.
    starts = np.flatnonzero(np.diff(flat[above], prepend=np.inf))
    levels = [_by_centre(level, values.shape[1]) for level in np.split(above, starts[1:])]
    order = np.concatenate([*levels, _by_centre(equal, values.shape[1])])
    return _points(order[:k], values)


def _first(left: NDArray[np.float32], values: NDArray[np.float32]) -> list[int]:
    """Flat index of the first pixel among those not yet zero in `left`, as a list of one or none.

    Equal pixels are compared by their distance to the centre of all equal ones in `values`.
    """
    top = left.max()
    if top <= 0:
        return []
    equal = np.flatnonzero(left == top)
    if len(equal) == 1:
        return [int(equal[0])]
    distance = _from_centre(equal, np.flatnonzero(values == top), values.shape[1])
    return [int(equal[distance.argmin()])]


def _apart(values: NDArray[np.float32], k: int, min_distance: int) -> list[int]:
    """Flat indices of up to `k` pixels at least `min_distance` apart, greedily from the top."""
    height, width = values.shape
    left = values.copy()
    chosen: list[int] = []
    while len(chosen) < k and (brightest := _first(left, values)):
        chosen += brightest
        y, x = divmod(brightest[0], width)
        rows = np.arange(max(y - min_distance, 0), min(y + min_distance + 1, height))
        columns = np.arange(max(x - min_distance, 0), min(x + min_distance + 1, width))
        near = (rows[:, None] - y) ** 2 + (columns - x) ** 2 < min_distance**2
        left[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1][near] = 0
    return chosen


def _by_centre(equal: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """Flat indices ordered by their distance to their centre; those closest to it come first."""
    if len(equal) < 2:
        return equal
    return equal[np.argsort(_from_centre(equal, equal, width), kind="stable")]


def _from_centre(
    pixels: NDArray[np.int64], level: NDArray[np.int64], width: int
) -> NDArray[np.float64]:
    """Squared distance of each of `pixels` to the centre of mass of `level`, all flat indices."""
    y, x = np.divmod(level, width)
    row, column = y.mean(), x.mean()
    y, x = np.divmod(pixels, width)
    return (y - row) ** 2 + (x - column) ** 2


def _points(indices: NDArray[np.int64] | list[int], values: NDArray[np.float32]) -> Points:
    y, x = np.divmod(np.asarray(indices, np.int64), values.shape[1])
    return np.stack([x, y], axis=1).astype(np.float32)
