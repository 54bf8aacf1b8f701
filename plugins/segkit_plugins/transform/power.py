"""Raise the heatmap to a power: above 1 only the hottest stays, below 1 more takes part."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import PositiveFloat

from segkit import Heatmap, Transform, hookimpl


class Power(Transform):
    """H ↦ (H / max H)ᵞ, also called gamma correction. A heatmap without heat stays all zero."""

    name = "power"
    concurrent = True

    gamma: PositiveFloat = 2.0
    """The power γ."""

    def __call__(self, heatmap: Heatmap) -> Heatmap:
        """The changed heatmap, of the same shape, name and score; its maximum is 1."""
        top = heatmap.values.max()
        if top <= 0:
            return heatmap
        return Heatmap((heatmap.values / top) ** self.gamma, heatmap.name, heatmap.score)


@hookimpl
def segkit_transforms() -> Sequence[type[Transform]]:
    """Register `power`."""
    return [Power]
