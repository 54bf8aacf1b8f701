"""Keep the candidate mask that its segmenter scores highest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segkit import Masks, Selector, hookimpl


class BestScore(Selector):
    """For each prompt the mask with the best score (for SAM: the predicted IoU).

    Of equal scores the first candidate is kept. The masks come in the order of their prompts;
    a prompt without candidates stays without a mask.
    """

    name = "score"

    def __call__(self, masks: Masks) -> Masks:
        """One mask for each prompt that has any."""
        order = np.lexsort((-masks.scores, masks.prompt))  # stable: the first of equals stays first
        return masks.take(order[np.unique(masks.prompt[order], return_index=True)[1]])


@hookimpl
def segkit_selectors() -> Sequence[type[Selector]]:
    """Register `score`."""
    return [BestScore]
