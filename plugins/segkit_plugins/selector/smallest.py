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

    def __call__(self, masks: Masks) -> Masks:
        """One mask for each prompt that has any."""
        pixels = masks.masks.sum(axis=(1, 2))
        empty = masks.masks[0].size + 1 if len(masks) else 0
        return best_by(masks, -np.where(pixels > 0, pixels, empty))


@hookimpl
def segkit_selectors() -> Sequence[type[Selector]]:
    """Register `smallest`."""
    return [Smallest]
