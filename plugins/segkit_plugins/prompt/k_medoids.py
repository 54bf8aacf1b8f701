"""Spread k points over the hot region as its medoids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from segkit import Heatmap, Prompt, Prompter, Prompts, hookimpl
from segkit_plugins.prompt._regions import hot

SAMPLE = 600
"""So many hot pixels at most take part; their distances are a table of 600 × 600."""

TURNS = 50


class KMedoids(Prompter):
    """The k medoids of the hot pixels, as points of one prompt.

    Medoids (Kaufman & Rousseeuw 1987) are pixels of the region that make the sum of every hot
    pixel's distance to the nearest of them small, weighted by heat; found by turns of assigning
    pixels and moving each medoid to the best pixel of its own. The start follows k-means++ (Arthur
    & Vassilvitskii 2007). Of more than 600 hot pixels a random 600 take part. A heatmap without
    heat makes no prompt.
    """

    name = "k-medoids"
    concurrent = True

    k: PositiveInt = 3
    """How many points; fewer if fewer pixels are hot."""

    level: float = Field(0.5, gt=0, le=1)
    """Heat that a hot pixel has at least, as a share of the maximum."""

    def __call__(self, heatmap: Heatmap, rng: np.random.Generator) -> Prompts:
        """One prompt of foreground points, or none."""
        places = np.flatnonzero(hot(heatmap.values, self.level))
        if not len(places):
            return Prompts()
        if len(places) > SAMPLE:
            places = np.sort(rng.choice(places, SAMPLE, replace=False))
        points = np.stack(np.divmod(places, heatmap.values.shape[1])[::-1], axis=1)
        weights = heatmap.values.ravel()[places].astype(np.float64)
        apart = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
        chosen = _medoids(apart, weights, min(self.k, len(places)), rng)
        return Prompts((Prompt(points=points[chosen]),))


def _medoids(
    apart: NDArray[np.float64], weights: NDArray[np.float64], k: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """The places of k medoids, given all distances (n, n) and weights (n,)."""
    chosen = [int(np.argmin(apart @ weights))]  # the one medoid of all
    while len(chosen) < k:
        chance = weights * apart[:, chosen].min(axis=1) ** 2
        if chance.sum() <= 0:
            break
        chosen.append(int(rng.choice(len(weights), p=chance / chance.sum())))
    medoids = np.array(chosen)
    for _ in range(TURNS):
        nearest = apart[:, medoids].argmin(axis=1)
        moved = medoids.copy()
        for i in range(len(medoids)):
            own = np.flatnonzero(nearest == i)
            moved[i] = own[np.argmin(apart[np.ix_(own, own)] @ weights[own])]
        if (moved == medoids).all():
            break
        medoids = moved
    return medoids


@hookimpl
def segkit_prompters() -> Sequence[type[Prompter]]:
    """Register `k-medoids`."""
    return [KMedoids]
