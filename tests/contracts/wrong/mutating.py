"""Squares the heatmap where it is."""

from __future__ import annotations

from segkit import Heatmap, Transform, hookimpl


class Mutating(Transform):
    """Squares the heatmap where it is."""

    name = "mutating"

    def __call__(self, heatmap: Heatmap) -> Heatmap:
        heatmap.values.setflags(write=True)
        heatmap.values[:] **= 2
        return Heatmap(heatmap.values, heatmap.name, heatmap.score)


@hookimpl
def segkit_transforms():
    return [Mutating]
