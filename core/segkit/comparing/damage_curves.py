"""The curve of one recipe under one kind of damage, from level 0, no damage, upwards.

A curve is a figure over the levels. Its *area* is the mean height by the trapezoid rule, in the
figure's own unit: what the recipe reaches when any strength from none to the greatest is as likely.
What it *keeps* is the area over the figure at level 0: 1 where nothing is lost. Intervals are those
of the leaderboard, over images, with the same draws at each level.

Along the chain each damaged image is compared with itself at level 0 (see `damage`): how far
the heatmap drifts, how far the prompts move, what the mask loses. A stage *gives way* at the first
level at which its mean passes the limit in `LIMITS`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.comparing.records import Estimate
from segkit.comparing.robustness_records import CHAIN, DamageCurve, Level
from segkit.comparing.statistics import Bootstrap, Counted, estimate, mean_estimate, resamples
from segkit.plugins.contract import scores_of
from segkit.plugins.steps import Metric
from segkit.running.records import DamageRecord, ResultLine

LIMITS = {"heatmap": 0.1, "prompt": 0.05, "mask": 0.1}
"""Where a stage has given way: the heatmap's drift (1 − correlation), the way of the prompts as a
share of the image's diagonal, the mask's loss (1 − IoU with the mask of level 0)."""

SHOWN_BY = {"heatmap": "heatmap_drift", "prompt": "prompt_moved_share", "mask": "mask_lost"}
"""Stage to what its limit is for, in the order in which values flow."""

AGREEMENT = "agreement"
"""The figure without a metric: the IoU with the mask of level 0."""

Measured = Mapping[str, ResultLine | DamageRecord]
"""Image to what came of it at one level; level 0 is the line of the image as it is."""


def damage_curve(
    recipe: str,
    perturbation: str,
    metrics: Sequence[Metric],
    figure: str,
    by_level: Sequence[Measured],
    seed: int,
) -> DamageCurve:
    """The curve of a figure over the levels from 0."""
    count = len(by_level[0])
    scores: list[dict[str, float]] = [{} for _ in by_level]
    owner: Metric | None = None
    for metric in metrics:
        for of_level, measured in zip(scores, by_level, strict=True):
            own = summed(metric, measured.values())
            of_level |= own
            owner = metric if figure in own else owner
    means, draws = [], []
    for measured in by_level:
        mean, drawn = _height(figure, owner, measured, seed)
        means.append(mean)
        draws.append(drawn)
    points = tuple(
        Level(
            level=level,
            figure=estimate(means[level], draws[level], count),
            change=estimate(means[level] - means[0], draws[level] - draws[0], count),
            scores=scores[level],
            **{name: _link(name, level, by_level, seed) for name in CHAIN},
        )
        for level in range(len(by_level))
    )
    area, areas = _area(means), _area(draws)
    with np.errstate(divide="ignore", invalid="ignore"):
        kept = estimate(area / means[0] if means[0] else math.nan, areas / draws[0], count)
    gives_way = _gives_way(points)
    passed = {stage: level for stage, level in gives_way.items() if level is not None}
    return DamageCurve(
        recipe=recipe,
        perturbation=perturbation,
        images=count,
        points=points,
        area=estimate(area, areas, count),
        kept=kept,
        gives_way=gives_way,
        gives_way_first=min(passed, key=lambda stage: passed[stage], default=None),
    )


def _height(
    figure: str, metric: Metric | None, measured: Measured, seed: int
) -> tuple[float, NDArray[np.float64]]:
    """A figure over some images, and on each draw of them."""
    if figure == AGREEMENT:
        values = 1 - np.array([_lost(image) for image in measured.values()])
        return float(values.mean()), resamples(len(values), seed) @ values / len(values)
    drawn = Bootstrap([metric] if metric else [], list(measured.values()), seed)
    draws = drawn.draws.get(figure, np.full(1, math.nan))
    return drawn.figures.get(figure, math.nan), draws


def _lost(image: ResultLine | DamageRecord) -> float:
    """What the mask has lost; the undamaged one nothing."""
    if isinstance(image, ResultLine):
        return 0.0
    return math.nan if image.mask_lost is None else image.mask_lost


def _area(heights: Sequence[Any]) -> Any:
    """The mean height by the trapezoid rule; the heights stand at equal distances."""
    return (sum(heights) - (heights[0] + heights[-1]) / 2) / (len(heights) - 1)


def _link(name: str, level: int, by_level: Sequence[Measured], seed: int) -> Estimate | None:
    """The mean over images of one link of the chain; None where it was not noted."""
    if not level and name != "true_iou":  # nothing has moved yet, of what there is
        exists = any(noted(name, measured) for measured in by_level[1:])
        return Estimate(mean=0.0, low=0.0, high=0.0) if exists else None
    values = noted(name, by_level[level])
    return mean_estimate(values, seed) if values else None


def _gives_way(points: Sequence[Level]) -> dict[str, int | None]:
    """Stage to the first level at which it has passed its limit; None: never, or not there."""
    gives_way: dict[str, int | None] = {}
    for stage, name in SHOWN_BY.items():
        means = {point.level: getattr(point, name).mean for point in points if getattr(point, name)}
        passed = (level for level, mean in means.items() if mean > LIMITS[stage])
        gives_way[stage] = min(passed, default=None)
    return gives_way


def noted(name: str, measured: Measured) -> list[float]:
    """What was noted under this name, image by image, where it was."""
    values = (getattr(image, name) for image in measured.values())
    return [value for value in values if value is not None]


def summed(metric: Metric, images: Iterable[Counted]) -> dict[str, float]:
    """A metric's figures for the added counts of some images."""
    total: Counter[str] = Counter()
    for image in images:
        total.update(image.counts.get(metric.name, {}))
    return scores_of(metric, total, finite=False) if total else {}
