"""Stretches to 0 and 1, and divides by 0 where all is the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from segkit import Heatmap, Transform, hookimpl


class NotANumber(Transform):
    """Stretches to 0 and 1, and divides by 0 where all is the same."""

    name = "not-a-number"

    def __call__(self, heatmap: Heatmap) -> Heatmap:
        low, high = heatmap.values.min(), heatmap.values.max()
        with np.errstate(all="ignore"):
            values = (heatmap.values - low) / (high - low)
        return replace(heatmap, values=values)


@hookimpl
def segkit_transforms():
    return [NotANumber]
