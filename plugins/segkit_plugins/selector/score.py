"""Keep the candidate mask that its segmenter scores highest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segkit import Masks, Selector, hookimpl
from segkit_plugins.selector._best import best_by


class BestScore(Selector):
    """For each prompt the mask with the best score (for SAM: the predicted IoU).

    Of equal scores the first candidate is kept. The masks come in the order of their prompts;
    a prompt without candidates stays without a mask, and so does one whose best score is below
    `least`.
    """

    name = "score"
    concurrent = True

    least: float | None = None
    """Masks of a lower score are left out; left out, none is."""

    def __call__(self, masks: Masks) -> Masks:
        """One mask for each prompt that has any of at least the least score."""
        best = best_by(masks, masks.scores)
        if self.least is None:
            return best
        return best.take(np.flatnonzero(best.scores >= np.float32(self.least)))


@hookimpl
def segkit_selectors() -> Sequence[type[Selector]]:
    """Register `score`."""
    return [BestScore]
