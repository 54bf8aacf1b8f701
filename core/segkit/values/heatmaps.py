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
    values = heatmaps[0].values.copy()
    for heatmap in heatmaps[1:]:
        np.maximum(values, heatmap.values, out=values)
    values.flags.writeable = False
    return Heatmap(values, None, max(heatmap.score for heatmap in heatmaps))
