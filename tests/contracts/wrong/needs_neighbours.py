"""Fails where a pixel has no neighbour."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from segkit import Heatmap, Transform, hookimpl


class NeedsNeighbours(Transform):
    """Fails where a pixel has no neighbour."""

    name = "needs-neighbours"

    def __call__(self, heatmap: Heatmap) -> Heatmap:
        steep = np.abs(np.gradient(heatmap.values, axis=1))
        return replace(heatmap, values=np.clip(steep, 0, 1))


@hookimpl
def segkit_transforms():
    return [NeedsNeighbours]
