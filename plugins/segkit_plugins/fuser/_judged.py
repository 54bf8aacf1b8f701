"""The best-judged of many masks, and what they are called."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segkit import Masks, Prompts
from segkit_plugins.fuser._painting import same_objects
from segkit_plugins.shared.object_names import object_names

NAMESAKE = 0.5
"""A mask without a class takes that of another one that has at least this IoU with it."""


def qualities(masks: Masks) -> NDArray[np.float32]:
    """(n,) float32: how good each mask is; where nobody has judged, the segmenter's own score."""
    return masks.scores if masks.quality is None else masks.quality


def best_first(masks: Masks) -> list[int]:
    """The places of the masks, the best-judged first; empty ones last, of equals the first."""
    empty = masks.areas == 0
    return [int(place) for place in np.lexsort((-qualities(masks), empty))]


def named_alike(masks: Masks, kept: list[int], prompts: Prompts | None) -> Masks:
    """The kept ones; one without a class is called as the best of the others that it looks like."""
    names = object_names(masks, prompts, None)
    others = [place for place in best_first(masks) if names[place] is not None]
    called = list(masks.names)
    for place in kept:
        alike = same_objects(masks.packed, place, others, NAMESAKE)
        if names[place] is None and (namesake := next(alike, None)) is not None:
            called[place] = names[namesake]
    return masks.changed(names=tuple(called)).take(kept)
