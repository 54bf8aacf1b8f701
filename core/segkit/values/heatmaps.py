"""Several heatmaps seen as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segkit.values.types import Heatmap


def union(heatmaps: Sequence[Heatmap]) -> Heatmap:
    """What a step sees that names one `heatmap` where there are several: their pixelwise maximum.

    It has no class; its score is the greatest.
    """
    if len(heatmaps) == 1:
        return heatmaps[0]
    values = np.maximum.reduce([heatmap.values for heatmap in heatmaps])
    return Heatmap(values, None, max(heatmap.score for heatmap in heatmaps))
