"""Moves the heat by one pixel to the right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from segkit import Heatmap, Transform, hookimpl


class Shifted(Transform):
    """Moves the heat by one pixel to the right."""

    name = "shifted"

    def __call__(self, heatmap: Heatmap) -> Heatmap:
        return replace(heatmap, values=np.roll(heatmap.values, 1, axis=1))


@hookimpl
def segkit_transforms():
    return [Shifted]
