"""Keep the masks of sure prompts alone, such as of boxes that a detector is sure of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segkit import Masks, Prompts, Selector, hookimpl
from segkit_plugins.selector._best import best_by


class Confident(Selector):
    """For each prompt of a score above `least` the mask with the best score; others get none.

    A prompt's score is how sure its maker is that the object is there: a detector's confidence, a
    class's probability. So one pass of a detector with a low `confidence`, and of the segmenter,
    serves any number of thresholds: `--yolo.confidence 0.05 --select confident --confident.least
    0.1,0.3,0.5`. Of equally good masks the first is kept; the masks come in the order of their
    prompts. Without prompts none is dropped.
    """

    name = "confident"
    concurrent = True

    least: float = 0.5
    """The masks of prompts with a greater score are kept, as `--yolo.confidence` keeps boxes."""

    def __call__(self, masks: Masks, prompts: Prompts | None = None) -> Masks:
        """One mask for each sure prompt that has any."""
        best = best_by(masks, masks.scores)
        if prompts is None:
            return best
        # In single precision, as detectors give it: 0.7 is not greater than 0.7.
        sure = np.array([prompts[p].score for p in best.prompt], np.float32) > self.least
        return best.take(np.flatnonzero(sure))


@hookimpl
def segkit_selectors() -> Sequence[type[Selector]]:
    """Register `confident`."""
    return [Confident]
