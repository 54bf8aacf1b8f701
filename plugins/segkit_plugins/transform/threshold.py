"""Set what is cool to zero."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from segkit import Heatmap, Transform, hookimpl


class Threshold(Transform):
    """Pixels below `level` × the maximum become zero; the others stay, or become one.

    A heatmap without heat stays all zero.
    """

    name = "threshold"
    concurrent = True

    level: float = Field(0.5, ge=0, le=1)
    """Heat from which a pixel stays, as a share of the maximum."""

    binary: bool = False
    """Make what stays one."""

    def __call__(self, heatmap: Heatmap) -> Heatmap:
        """The changed heatmap, of the same shape, name and score."""
        values = heatmap.values
        stays = (values >= self.level * values.max()) & (values > 0)
        kept = np.float32(1) if self.binary else values
        return Heatmap(np.where(stays, kept, np.float32(0)), heatmap.name, heatmap.score)


@hookimpl
def segkit_transforms() -> Sequence[type[Transform]]:
    """Register `threshold`."""
    return [Threshold]
