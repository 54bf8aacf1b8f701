"""Keep the candidate mask that covers the heatmap best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import NonNegativeFloat

from segkit import Heatmap, Masks, Selector, hookimpl
from segkit_plugins.selector._best import best_by


class Coverage(Selector):
    """For each prompt the mask with most heat for its area: (heat inside) / areaᵖ.

    Heat inside is the sum of the heatmap over the mask. With `power` p = 1 this is the mean heat,
    which favours the small and hot; with p = 0 the sum, which favours the large; in between lies a
    balance. An empty mask counts 0. Of equals the one with the higher score is kept, then the
    first; without heat that decides alone.
    """

    name = "coverage"
    concurrent = True

    power: NonNegativeFloat = 0.5
    """How much area counts against a mask."""

    def __call__(self, masks: Masks, heatmap: Heatmap) -> Masks:
        """One mask for each prompt that has any."""
        area, values = masks.areas.astype(np.float64), heatmap.values
        heat = np.array([values[mask].sum(dtype=np.float64) for mask in masks.arrays()])
        return best_by(masks, heat / np.maximum(area, 1) ** self.power)


@hookimpl
def segkit_selectors() -> Sequence[type[Selector]]:
    """Register `coverage`."""
    return [Coverage]
