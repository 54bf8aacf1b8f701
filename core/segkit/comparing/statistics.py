"""Intervals by the bootstrap, and whether a difference is more than chance by permutation.

Every figure is an estimate from the images at hand. Its interval comes from the bootstrap (Efron
1979): images are drawn anew with replacement, their counts are added, and the metric is worked out
again, 2,000 times. Recipes are compared on the same draws, image by image (paired), so that what
makes an image hard for both takes no part. Intervals are percentiles, widened for few images as
Hesterberg ("What teachers should know about the bootstrap", 2015, section 5.3) advises.

A difference is claimed only if its interval leaves out zero and a permutation test agrees: on each
image the two recipes' counts are swapped at random, 2,000 times; if the recipes were alike, a
difference as large as the one at hand would come about in fewer than 5 % of them. That holds its
level even where a few images make up the whole difference.

Over several seeds a figure is the mean of its figures under each, and what is drawn and swapped are
images still. A step's randomness is its own for each image (see docs/design.md), so how much chance
there is in the steps shows in how images differ, and the interval over images holds it too. The
spread over seeds stands beside it: how far the whole figure moves from one seed to the next.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from segkit.comparing.records import Estimate
from segkit.plugins.contract import blamed, scores_of
from segkit.plugins.figures import Figure, figure_of
from segkit.plugins.steps import Metric

DRAWS = 2000
"""How often the images are drawn anew."""

LEVEL = 0.95
"""The share of intervals that should hold the true figure."""


class Counted(Protocol):
    """What was counted of one image: a line of results.jsonl, or of its damaged form."""

    @property
    def counts(self) -> Mapping[str, Mapping[str, float]]:
        """Metric to its counts."""


def resamples(count: int, seed: int) -> NDArray[np.float64]:
    """(draws, count): how often each of `count` images comes in each draw."""
    rng = np.random.default_rng(seed)
    if not count:
        return np.zeros((DRAWS, 0))
    return rng.multinomial(count, np.full(count, 1 / count), size=DRAWS).astype(np.float64)


def interval(draws: NDArray[np.float64], count: int) -> tuple[float, float]:
    """The 95 % interval of a figure that was worked out anew on `draws` of `count` images.

    Percentiles, widened so that few images get the coverage of Student's t. NaN if none are
    finite, or for a single image.
    """
    from scipy.stats import norm, t

    kept = draws[np.isfinite(draws)]
    if not len(kept) or count < 2:
        return math.nan, math.nan  # one image says nothing of how images differ
    tail = norm.cdf(math.sqrt(count / (count - 1)) * t.ppf((1 - LEVEL) / 2, count - 1))
    low, high = np.quantile(kept, [tail, 1 - tail])
    return float(low), float(high)


def estimate(mean: float, draws: NDArray[np.float64], count: int) -> Estimate:
    """A figure of `count` images with the interval that its `draws` give."""
    low, high = interval(draws, count)
    return Estimate(mean=mean, low=low, high=high)


def mean_estimate(values: Sequence[float], seed: int) -> Estimate:
    """The mean of one value an image, with its interval."""
    array, count = np.array(values, float), len(values)
    return estimate(float(array.mean()), resamples(count, seed) @ array / count, count)


class Bootstrap:
    """One recipe's figures: on its images, and on each draw of them.

    All recipes with as many images and the same `seed` have the same draws.
    """

    def __init__(self, metrics: Sequence[Metric], images: Sequence[Counted], seed: int) -> None:
        self.count = len(images)
        self.tables: dict[str, tuple[Metric, list[str], NDArray[np.float64]]] = {}
        """Figure to its metric, and the counts (images, keys) that it is made of."""
        self.figures: dict[str, float] = {}
        self.declared: dict[str, Figure] = {}
        """Figure to whether less of it is better, and its unit."""
        self.draws: dict[str, NDArray[np.float64]] = {}
        weights = resamples(self.count, seed)
        for metric in metrics:
            counts = [image.counts.get(metric.name, {}) for image in images]
            keys = list(dict.fromkeys(key for by_key in counts for key in by_key))
            if not keys:
                continue
            table = np.array([[by_key.get(key, 0.0) for key in keys] for by_key in counts])
            sums = dict(zip(keys, table.sum(axis=0).tolist(), strict=True))
            scores = scores_of(metric, sums, finite=False)
            self.figures |= scores
            self.declared |= {name: figure_of([metric], name) for name in scores}
            draws = _scores(metric, keys, weights @ table)
            self.draws |= draws
            self.tables |= dict.fromkeys(draws, (metric, keys, table))

    @property
    def by_seed(self) -> dict[int, dict[str, float]]:
        """Seed to figures, where there are several."""
        return {}

    def swapped(self, other: Bootstrap, figure: str, seed: int = 0) -> NDArray[np.float64]:
        """(draws,): this one's figure minus the other's, counts swapped at random on each image.

        NaN where one of them has none. The same `seed` swaps the same images.
        """
        metric, first_keys, first_table = self.tables[figure]
        _, second_keys, second_table = other.tables[figure]
        keys = list(dict.fromkeys((*first_keys, *second_keys)))
        first_table = _columns(first_table, first_keys, keys)
        second_table = _columns(second_table, second_keys, keys)
        swaps = np.random.default_rng(seed).integers(0, 2, (DRAWS, len(first_table)))
        swapped = swaps @ (second_table - first_table)
        left = _scores(metric, keys, first_table.sum(axis=0) + swapped).get(figure)
        right = _scores(metric, keys, second_table.sum(axis=0) - swapped).get(figure)
        return np.full(DRAWS, math.nan) if left is None or right is None else left - right


class SeedBootstrap:
    """One recipe's figures as means over seeds: on its images, and on each draw of them.

    Where the seeds share their images, a draw takes the same of them for every seed, and the same
    are swapped; where each has images of its own, they are drawn and swapped on their own.
    """

    def __init__(self, parts: Mapping[int, Bootstrap], *, same_images: bool) -> None:
        """`parts`: seed to the recipe's figures under it; one for each seed."""
        self.parts = dict(parts)
        self.same_images = same_images
        first, *others = self.parts.values()
        self.count = first.count if same_images else sum(p.count for p in self.parts.values())
        """How many images the draws are of."""
        shared = [name for name in first.figures if all(name in p.figures for p in others)]
        self.figures: dict[str, float] = {
            name: float(np.mean([p.figures[name] for p in parts.values()])) for name in shared
        }
        self.declared: dict[str, Figure] = {name: first.declared[name] for name in shared}
        drawn = [name for name in shared if all(name in p.draws for p in parts.values())]
        self.draws: dict[str, NDArray[np.float64]] = {
            name: np.mean([p.draws[name] for p in parts.values()], axis=0) for name in drawn
        }

    @property
    def by_seed(self) -> dict[int, dict[str, float]]:
        """Seed to the figures under it."""
        return {seed: part.figures for seed, part in self.parts.items()}

    def swapped(self, other: SeedBootstrap, figure: str) -> NDArray[np.float64]:
        """As `Bootstrap.swapped`, of the means over seeds."""
        differences = [
            part.swapped(other.parts[seed], figure, 0 if self.same_images else place)
            for place, (seed, part) in enumerate(self.parts.items())
        ]
        return np.asarray(np.mean(differences, axis=0), np.float64)


Drawn = TypeVar("Drawn", Bootstrap, SeedBootstrap)
"""One recipe's figures, of one seed or as means over several."""


def estimates(drawn: Bootstrap | SeedBootstrap) -> dict[str, Estimate]:
    """Every figure with its interval over images."""
    nothing = np.array([])
    return {
        name: estimate(value, drawn.draws.get(name, nothing), drawn.count)
        for name, value in drawn.figures.items()
    }


def permutation_p(first: Drawn, second: Drawn, figure: str, difference: float) -> float:
    """The share of random swaps, image by image, that make as large a difference."""
    apart = np.abs(first.swapped(second, figure))
    as_large = ~(apart < difference - 1e-9)  # what is not a number counts as large
    return float((1 + np.count_nonzero(as_large)) / (1 + DRAWS))


def _columns(
    table: NDArray[np.float64], keys: Sequence[str], wanted: Sequence[str]
) -> NDArray[np.float64]:
    """The table's columns of these keys, zeros for those that it lacks."""
    columns = {key: table[:, i] for i, key in enumerate(keys)}
    return np.stack([columns.get(key, np.zeros(len(table))) for key in wanted], axis=1)


def _scores(
    metric: Metric, keys: Sequence[str], sums: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Each of the metric's figures for rows of added counts; NaN where there is none."""
    with blamed(metric):
        rows = [metric.score(dict(zip(keys, row, strict=True))) for row in sums.tolist()]
        names = dict.fromkeys(name for scores in rows for name in scores)
        return {
            name: np.array([scores.get(name, math.nan) for scores in rows], np.float64)
            for name in names
        }
