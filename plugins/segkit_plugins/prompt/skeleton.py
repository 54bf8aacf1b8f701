"""Spread points along the skeleton of the hot region."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field, PositiveInt

from segkit import Heatmap, Prompt, Prompter, Prompts, hookimpl
from segkit_plugins.prompt._regions import hot, middle


class Skeleton(Prompter):
    """k points along the middle lines of the hot region, as points of one prompt.

    The region (every pixel of at least `level` × the maximum) is thinned to its skeleton (Zhang &
    Suen 1984). The first point is the skeleton's hottest pixel; each further one is the pixel
    farthest from those taken, so long and bent objects are clicked from end to end. A heatmap
    without heat makes no prompt.
    """

    name = "skeleton"
    concurrent = True

    k: PositiveInt = 3
    """How many points; fewer if the skeleton is shorter."""

    level: float = Field(0.5, gt=0, le=1)
    """Heat that a pixel of the region has at least, as a share of the maximum."""

    def __call__(self, heatmap: Heatmap) -> Prompts:
        """One prompt of foreground points, or none."""
        from skimage.morphology import skeletonize

        region = hot(heatmap.values, self.level)
        if not region.any():
            return Prompts()
        lines = skeletonize(region)
        if not lines.any():  # thinning can wipe out a speck
            return Prompts((Prompt(points=[middle(region)]),))
        y, x = np.nonzero(lines)
        points = [int(heatmap.values[y, x].argmax())]
        away = np.full(len(x), np.inf)
        while len(points) < min(self.k, len(x)):
            away = np.minimum(away, np.hypot(x - x[points[-1]], y - y[points[-1]]))
            points.append(int(away.argmax()))
        return Prompts((Prompt(points=np.stack([x[points], y[points]], axis=1)),))


@hookimpl
def segkit_prompters() -> Sequence[type[Prompter]]:
    """Register `skeleton`."""
    return [Skeleton]
