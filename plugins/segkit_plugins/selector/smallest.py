"""Keep the smallest candidate mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segkit import Masks, Selector, hookimpl
from segkit_plugins.selector._best import best_by


class Smallest(Selector):
    """For each prompt the mask with the fewest pixels, empty ones last.

    Of equals the one with the higher score is kept, then the first. The masks come in the order of
    their prompts.
    """

    name = "smallest"
    concurrent = True

    def __call__(self, masks: Masks) -> Masks:
        """One mask for each prompt that has any."""
        pixels, (height, width) = masks.areas, masks.size
        empty = height * width + 1
        return best_by(masks, -np.where(pixels > 0, pixels, empty))


@hookimpl
def segkit_selectors() -> Sequence[type[Selector]]:
    """Register `smallest`."""
    return [Smallest]
