"""Collected candidates as the judge learns from them, and how well they are judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit_plugins.judge.learned.features import (
    OWN,
    overlaps,
    own_features,
    together_features,
)
from segkit_plugins.judge.learned.forest import Forest
from segkit_training.candidates import Collected

Array = NDArray[np.float32]
Places = NDArray[np.int64]

SETS = 8
"""Sets of candidates that are drawn of each view: what is judged at a time differs."""
RECIPES = ("gradcam", "prior", "idw", "objectness")
"""The heatmaps of the strategies that ask `nano`; their masks are what a user would choose from."""
GOOD = 0.8
"""From this IoU on a mask is one to keep."""
DOUBTFUL = 0.3
"""Under this quality a mask is called wrong."""
DRAWS = 400
"""Of a bootstrap."""


@dataclass(frozen=True)
class Rows:
    """Masks as they are learned from; n of them."""

    features: Array
    """(n, len(NAMES))."""
    iou: Array
    """(n,)."""
    weight: Array
    """(n,): a view's add up to 1."""

    @classmethod
    def of(cls, several: Sequence[Rows]) -> Rows:
        """All together."""
        columns = zip(*(vars(rows).values() for rows in several), strict=True)
        return cls(*(np.concatenate(column) for column in columns))


@dataclass(frozen=True)
class Verdict:
    """What is told of masks of one view, and what is true."""

    quality: Array
    iou: Array
    score: Array
    known: NDArray[np.bool_]
    nothing: bool

    @property
    def chosen(self) -> int:
        """The best-judged."""
        return int(self.quality.argmax())


class Judged:
    """A view with what is worked out once of all its masks."""

    def __init__(self, view: Collected) -> None:
        self.view = view
        self.own = own_features(view.scene, view.masks)
        self.shared, self.areas = overlaps(view.masks)

    @cached_property
    def maker(self) -> NDArray[np.str_]:
        """(n,): the first word of each mask's origin."""
        return np.array([origin.partition("/")[0] for origin in self.view.origin])

    @property
    def strategies(self) -> Places:
        """The masks of the recipes."""
        return np.flatnonzero(np.isin(self.maker, RECIPES))

    def features(self, some: Places) -> Array:
        """(n, len(NAMES)) of some of the masks, as if these were all."""
        own = self.own[some]
        together = together_features(
            self.view.masks[some],
            own[:, OWN.index("things-overlap")],
            self.view.scores[some],
            self.shared[np.ix_(some, some)],
            self.areas[some],
        )
        return np.concatenate([own, together], axis=1)

    def rows(self, rng: np.random.Generator) -> Rows:
        """Several sets of its candidates, as far as their truth is known."""
        sets = self.candidate_sets(rng)
        index = np.concatenate(sets)
        kept = self.view.known[index]
        count = int(kept.sum())
        return Rows(
            np.concatenate([self.features(some) for some in sets])[kept],
            self.view.best[index][kept],
            np.full(count, 1 / max(count, 1), np.float32),
        )

    def candidate_sets(self, rng: np.random.Generator) -> list[Places]:
        """Masks that are judged together: of one prompt, of several, or of all strategies."""
        asked = zip(self.view.origin, self.view.prompt, strict=True)
        names, group = np.unique([f"{o} {p}" for o, p in asked], return_inverse=True)
        strategies = np.unique(group[self.strategies])
        everything = np.unique(group[self.maker == "everything"])
        sets = [some for some in (strategies, everything) if len(some)]
        while len(sets) < SETS:
            pool = strategies if len(strategies) and rng.random() < 0.5 else np.arange(len(names))
            most = (1, 4, 8, 20)[rng.integers(4)]
            count = min(int(rng.integers(1, most + 1)), len(pool))
            sets.append(rng.choice(pool, count, replace=False))
        return [np.flatnonzero(np.isin(group, some)) for some in sets]

    def verdict(self, forest: Forest, some: Places, *, union: bool = False) -> Verdict:
        """How some of the masks are judged, beside their IoU with the object meant.

        `union`: with all objects together, whatever may be meant.
        """
        view = self.view
        iou = (view.union if union else view.best)[some]
        quality = forest.quality(self.features(some))
        return Verdict(quality, iou, view.scores[some], view.known[some], view.nothing)


Figure = Callable[[Sequence[Verdict]], float]


def _all(verdicts: Sequence[Verdict]) -> tuple[Array, Array]:
    quality = np.concatenate([v.quality[v.known] for v in verdicts])
    return quality, np.concatenate([v.iou[v.known] for v in verdicts])


def _chosen(verdicts: Sequence[Verdict]) -> tuple[Array, Array]:
    pairs = np.array([(v.quality[v.chosen], v.iou[v.chosen]) for v in verdicts], np.float32)
    return pairs[:, 0], pairs[:, 1]


def _correlation(quality: Array, iou: Array) -> float:
    if min(quality.std(), iou.std()) < 1e-6:
        return 0.0
    return float(np.corrcoef(quality, iou)[0, 1])


def _error(quality: Array, iou: Array) -> float:
    return float(np.abs(quality - iou).mean())


def area_under_curve(told: Array, right: NDArray[np.bool_]) -> float:
    """How often a right one is told to be better than a wrong one; ties count half."""
    from scipy.stats import rankdata

    yes, no = int(right.sum()), int((~right).sum())
    if not yes or not no:
        return float("nan")
    return float((rankdata(told)[right].sum() - yes * (yes + 1) / 2) / (yes * no))


def best_half(verdicts: Sequence[Verdict], share: float = 0.5) -> float:
    """Mean IoU of the chosen masks of the photographs that are judged best."""
    quality, iou = _chosen(verdicts)
    kept = max(1, round(share * len(iou)))
    return float(iou[np.argsort(-quality, kind="stable")[:kept]].mean())


FIGURES: dict[str, Figure] = {
    "correlation, all candidates": lambda v: _correlation(*_all(v)),
    "error, all candidates": lambda v: _error(*_all(v)),
    "best-judged, IoU": lambda v: float(_chosen(v)[1].mean()),
    "best by truth, IoU": lambda v: float(np.mean([one.iou.max() for one in v])),
    "best by score, IoU": lambda v: float(np.mean([one.iou[one.score.argmax()] for one in v])),
    "correlation, best-judged": lambda v: _correlation(*_chosen(v)),
    "error, best-judged": lambda v: _error(*_chosen(v)),
    f"AUC for IoU over {GOOD}, best-judged": lambda v: area_under_curve(
        _chosen(v)[0], _chosen(v)[1] > GOOD
    ),
    "best-judged half, IoU": best_half,
}
"""What is said of the photographs of a set."""


def interval(figure: Figure, verdicts: Sequence[Verdict]) -> tuple[float, float, float]:
    """The figure, and a bootstrap 95 % interval over photographs."""
    rng = np.random.default_rng(0)
    draws: list[Any] = []
    for _ in range(DRAWS):
        some = rng.integers(0, len(verdicts), len(verdicts))
        draws.append(figure([verdicts[i] for i in some]))
    told = [draw for draw in draws if draw == draw] or [float("nan")]
    low, high = np.quantile(told, [0.025, 0.975])
    return figure(verdicts), float(low), float(high)
