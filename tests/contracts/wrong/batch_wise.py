"""Divides by the maximum of the whole batch."""

from __future__ import annotations

from dataclasses import replace

from segkit import Heatmap, Transform, hookimpl


class BatchWise(Transform):
    """Divides by the maximum of the whole batch."""

    name = "batch-wise"

    def __call__(self, heatmap: Heatmap) -> Heatmap:
        return self.batch([{"heatmap": heatmap}])[0]

    def batch(self, inputs):
        top = max(float(one["heatmap"].values.max()) for one in inputs) or 1.0
        return [replace(one["heatmap"], values=one["heatmap"].values / top) for one in inputs]


@hookimpl
def segkit_transforms():
    return [BatchWise]
