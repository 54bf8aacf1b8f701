"""Divides by the largest heat that it ever saw."""

from __future__ import annotations

from dataclasses import replace

from pydantic import PrivateAttr

from segkit import Heatmap, Transform, hookimpl


class Remembers(Transform):
    """Divides by the largest heat that it ever saw."""

    name = "remembers"

    _top: float = PrivateAttr(0.1)

    def __call__(self, heatmap: Heatmap) -> Heatmap:
        object.__setattr__(self, "_top", max(self._top, float(heatmap.values.max())))
        return replace(heatmap, values=heatmap.values / self._top)


@hookimpl
def segkit_transforms():
    return [Remembers]
