"""Keep the candidate mask that its segmenter scores highest."""

from __future__ import annotations

from collections.abc import Sequence

from segkit import Masks, Selector, hookimpl
from segkit_plugins.selector._best import best_by


class BestScore(Selector):
    """For each prompt the mask with the best score (for SAM: the predicted IoU).

    Of equal scores the first candidate is kept. The masks come in the order of their prompts;
    a prompt without candidates stays without a mask.
    """

    name = "score"

    def __call__(self, masks: Masks) -> Masks:
        """One mask for each prompt that has any."""
        return best_by(masks, masks.scores)


@hookimpl
def segkit_selectors() -> Sequence[type[Selector]]:
    """Register `score`."""
    return [BestScore]
