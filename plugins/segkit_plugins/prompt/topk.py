"""Click on the k brightest pixels of the heatmap."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt

from segkit import Heatmap, Prompt, Prompter, Prompts, hookimpl
from segkit_plugins.prompt._peaks import Points, brightest


class TopK(Prompter):
    """The k brightest pixels as foreground points and, if asked, far ones as background points.

    All are points of one prompt. Pixels are taken from the brightest down; those closer than
    `min_distance` to one already taken are passed over, and so are pixels without heat, so there
    may be fewer than k. Of equally bright pixels, those nearest to their common centre come first
    (then by row and column): the first point on a heatmap that is the same everywhere is the middle
    of the image. A heatmap without heat makes no prompt.
    """

    name = "topk"
    concurrent = True

    k: PositiveInt = 1
    """How many foreground points."""

    min_distance: NonNegativeInt = 0
    """Least distance between two foreground points, in pixels."""

    background: NonNegativeInt = 0
    """How many background points: random pixels far from the foreground points."""

    background_distance: float = Field(0.3, ge=0, le=1)
    """Least distance of background points from the centre of mass of the foreground points, as a
    share of the image's diagonal. Where too few pixels are that far, there are fewer points."""

    def __call__(self, heatmap: Heatmap, rng: np.random.Generator) -> Prompts:
        """One prompt of foreground points, then background points; or none."""
        points = brightest(heatmap.values, self.k, self.min_distance)
        if not len(points):
            return Prompts()
        far = self._far(points, heatmap.values.shape, rng)
        signs = np.arange(len(points) + len(far)) < len(points)
        return Prompts((Prompt(np.concatenate([points, far]), signs),))

    def _far(self, points: Points, size: tuple[int, ...], rng: np.random.Generator) -> Points:
        """Different pixels, drawn evenly from those far enough from the centre of `points`."""
        if not self.background:
            return np.zeros((0, 2), np.float32)
        height, width = size
        x, y = points.mean(axis=0, dtype=np.float64)
        squares = (np.arange(height) - y)[:, None] ** 2 + (np.arange(width) - x) ** 2
        least = self.background_distance * math.hypot(height, width)
        squares[tuple(points.astype(int).T[::-1])] = -1  # no pixel is both
        candidates = np.flatnonzero(squares >= least**2)
        count = min(self.background, len(candidates))
        chosen = candidates[rng.choice(len(candidates), count, replace=False)]
        return np.stack([chosen % width, chosen // width], axis=1).astype(np.float32)


@hookimpl
def segkit_prompters() -> Sequence[type[Prompter]]:
    """Register `topk`."""
    return [TopK]
