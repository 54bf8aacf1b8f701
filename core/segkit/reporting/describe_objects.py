"""The objects and the pixels of each class in one truth, counted for `segkit describe`."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from segkit.values.types import BACKGROUND, VOID, Truth

MOST_IDS = 1 << 20
"""Up to this class id, pixels are counted in a table; beyond it they are sorted."""


def pixels_by_id(ids: NDArray[np.int32]) -> dict[int, int]:
    """Class id to pixels, of those that occur."""
    if ids.size and ids.max() < MOST_IDS:
        counts = np.bincount(ids.ravel())
        present = np.flatnonzero(counts)
        return dict(zip(present.tolist(), counts[present].tolist(), strict=True))
    present, counts = np.unique(ids, return_counts=True)
    return dict(zip(present.tolist(), counts.tolist(), strict=True))


def objects_in(truth: Truth) -> tuple[list[tuple[int, int]], str]:
    """Class id and pixels of each object, and how they were told apart.

    `instances`: the truth's own, each of the class that most of its pixels have; one that lies on
    background or void alone is none. `regions`: else, the pieces of a class that hang together,
    also by their corners, or by way of void: a border of void cuts crumbs off an object, which
    would count as objects.
    """
    ids = truth.labels.ids
    objects = (ids != BACKGROUND) & (ids != VOID)
    if truth.instances is not None:
        own = objects & (truth.instances != BACKGROUND) & (truth.instances != VOID)
        pairs, counts = np.unique(
            np.stack([truth.instances[own], ids[own]]), axis=1, return_counts=True
        )
        best: dict[int, tuple[int, int]] = {}
        areas: Counter[int] = Counter()
        for (number, i), pixels in zip(pairs.T.tolist(), counts.tolist(), strict=True):
            areas[number] += pixels
            best[number] = max(best.get(number, (0, 0)), (pixels, i))
        return [(best[number][1], area) for number, area in areas.items()], "instances"
    from scipy import ndimage

    regions = []
    for i in pixels_by_id(ids[objects]):
        own = ids == i
        numbers, _ = ndimage.label(own | (ids == VOID), structure=np.ones((3, 3), bool))
        regions += [(i, area) for area in np.bincount(numbers[own]).tolist() if area]
    return regions, "regions"
