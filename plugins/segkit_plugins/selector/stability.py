"""Keep the candidate mask that changes least when its threshold moves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import PositiveFloat

from segkit import Masks, Selector, hookimpl
from segkit_plugins.selector._best import best_by


class Stability(Selector):
    """For each prompt the mask with the best stability score.

    The score of Segment Anything's mask generator (Kirillov et al. 2023, appendix B): the IoU of
    the masks that the logits give at thresholds +`offset` and −`offset`. An empty mask counts 0. Of
    equals the one with the higher score is kept, then the first; so it is where the segmenter gives
    no logits.
    """

    name = "stability"
    concurrent = True

    offset: PositiveFloat = 1.0
    """How far the threshold moves, in logits."""

    def __call__(self, masks: Masks) -> Masks:
        """One mask for each prompt that has any."""
        if masks.logits is None:
            return best_by(masks, np.zeros(len(masks)))
        inner = (masks.logits > self.offset).sum(axis=(1, 2), dtype=np.float64)
        outer = (masks.logits > -self.offset).sum(axis=(1, 2), dtype=np.float64)
        return best_by(masks, inner / np.maximum(outer, 1))


@hookimpl
def segkit_selectors() -> Sequence[type[Selector]]:
    """Register `stability`."""
    return [Stability]
