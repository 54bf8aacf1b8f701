"""Click on the most interior points of the hot region."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field, PositiveInt

from segkit import Heatmap, Prompt, Prompter, Prompts, hookimpl
from segkit_plugins.prompt._peaks import brightest
from segkit_plugins.prompt._regions import depth, hot


class DistanceCenters(Prompter):
    """The centres of the largest discs that fit into the hot region, as points of one prompt.

    The region is every pixel of at least `level` × the maximum. Its first point is farthest from
    the region's border (Euclidean distance transform; the image's border counts); the disc around
    a point is then taken out, and the next point is the farthest of those left. A heatmap without
    heat makes no prompt.
    """

    name = "distance-centers"
    concurrent = True

    k: PositiveInt = 1
    """How many points at most."""

    level: float = Field(0.5, gt=0, le=1)
    """Heat that a pixel of the region has at least, as a share of the maximum."""

    def __call__(self, heatmap: Heatmap) -> Prompts:
        """One prompt of foreground points, or none."""
        inside = depth(hot(heatmap.values, self.level))
        rows, columns = (np.arange(n) for n in inside.shape)
        points: list[tuple[float, float]] = []
        while len(points) < self.k and inside.max() > 0:
            x, y = brightest(inside)[0]
            points.append((float(x), float(y)))
            radius = max(inside[int(y), int(x)], 1.0)
            disc = (rows[:, None] - y) ** 2 + (columns - x) ** 2 < radius**2
            inside = np.where(disc, np.float32(0), inside)
        return Prompts((Prompt(points=points),) if points else ())


@hookimpl
def segkit_prompters() -> Sequence[type[Prompter]]:
    """Register `distance-centers`."""
    return [DistanceCenters]
