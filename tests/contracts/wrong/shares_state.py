"""Puts what it has found where all steps of its class find it."""

from __future__ import annotations

import time
from dataclasses import replace

from segkit import Heatmap, Transform, hookimpl

MEANS = [0.0]


class SharesState(Transform):
    """Weighs a heatmap by the mean that the module has noted last."""

    name = "shares-state"
    concurrent = True

    def __call__(self, heatmap: Heatmap) -> Heatmap:
        MEANS[0] = float(heatmap.values.mean())
        time.sleep(0.02)
        return replace(heatmap, values=heatmap.values * MEANS[0])


@hookimpl
def segkit_transforms():
    return [SharesState]
