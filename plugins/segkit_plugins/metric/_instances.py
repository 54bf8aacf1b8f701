"""Masks and true objects that count: what lies in void is left out of both."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segkit import BACKGROUND, VOID, Masks, Truth


def objects_of(truth: Truth) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The (n, H, W) objects of a truth with instances, and the (H, W) pixels that are not void."""
    assert truth.instances is not None
    numbers = np.setdiff1d(truth.instances, (BACKGROUND, VOID))
    kept = (truth.labels.ids != VOID) & (truth.instances != VOID)
    objects = (truth.instances == numbers[:, None, None]) & kept
    return objects, kept


def counted_masks(masks: Masks, kept: NDArray[np.bool_]) -> list[int]:
    """The masks that have a pixel and lie in void by no more than half."""
    areas = masks.areas
    cuts = (masks.cut_out(i) for i in range(len(masks)))
    inside = np.array([np.count_nonzero(mask & kept[place]) for place, mask in cuts], np.int64)
    return [int(i) for i in np.flatnonzero((areas > 0) & (2 * inside >= areas))]


def class_of(truth: Truth, mask: NDArray[np.bool_]) -> int:
    """The class id that most of an object's pixels have."""
    return int(np.bincount(truth.labels.ids[mask]).argmax())
