"""Charts of any page, as geometry: histograms, curves, waterfalls; templates draw them as SVG.

Lengths are in units of the view box, x to the right, y down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from segkit.comparing.records import Estimate, RecipeLosses, Row

BINS = 20
"""Bars of a histogram."""

WHISKER = 100
"""Length of the scale on which a table's intervals are drawn."""


def finite(value: float | None) -> float | None:
    """The value, or None where it is no finite number."""
    return value if value is not None and math.isfinite(value) else None


@dataclass(frozen=True)
class Scale:
    """From values `low` … `high` to 0 … `width`."""

    low: float
    high: float
    width: float

    def __call__(self, value: float) -> float:
        """A value's place; outside of the scale its end."""
        span = self.high - self.low
        share = (value - self.low) / span if span > 0 else 0.5
        return round(min(max(share, 0), 1) * self.width, 2)


def scale_of(estimates: Sequence[Estimate], width: float) -> Scale | None:
    """A scale that holds all intervals of a column; None if there is no figure."""
    ends = [v for e in estimates for v in (e.low, e.mean, e.high) if math.isfinite(v)]
    return Scale(min(ends), max(ends), width) if ends else None


def whisker(estimate: Estimate, scale: Scale | None) -> list[float | None]:
    """The places of an interval's lower end, mean and upper end; None where there is none."""
    ends = (estimate.low, estimate.mean, estimate.high)
    return [None if scale is None or not math.isfinite(end) else scale(end) for end in ends]


# ---- histograms -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bar:
    """One bar of a histogram."""

    x: float
    width: float
    height: float
    label: str


def bin_edges(low: float, high: float, bins: int = BINS) -> NDArray[np.float64]:
    """(bins + 1,) ends of bins of equal width.

    Of 0 … 1 they are the numbers that people write: np.linspace misses 0.15 by the last digit, and
    values of 0.15 would fall into the bin below.
    """
    return low + np.arange(bins + 1) / bins * (high - low)


def bars(heights: Sequence[float], labels: Sequence[str], width: float, height: float) -> list[Bar]:
    """Bars side by side over `width`; `heights` are shares of `height`, those of 0 have no bar."""
    across = width / len(heights)
    return [
        Bar(round(i * across + 0.5, 2), round(across - 1, 2), round(share * height, 2), label)
        for i, (share, label) in enumerate(zip(heights, labels, strict=True))
        if share
    ]


@dataclass(frozen=True)
class Histogram:
    """How one recipe's values are spread."""

    recipe: str
    bars: list[Bar]
    count: int
    mean: float
    quantiles: tuple[float, float, float, float, float]
    """Least, quarter, median, three quarters, greatest."""
    median_x: float

    @property
    def words(self) -> str:
        """The chart in a sentence."""
        least, low, middle, high, most = (f"{q:.3f}" for q in self.quantiles)
        return (
            f"{self.count} images from {least} to {most}; half of them between {low} and {high}, "
            f"median {middle}"
        )


def histograms(
    values: Sequence[tuple[str, Sequence[float]]], *, width: float = 300, height: float = 44
) -> tuple[list[Histogram], float, float]:
    """A histogram of each recipe's values on one scale, and that scale's ends.

    The scale is 0 … 1 if all values lie in it, and one wide if all are equal. Recipes without
    values are left out; heights are comparable between recipes by the share of their images.
    """
    arrays = {name: np.array(some, float) for name, some in values}
    arrays = {name: array[np.isfinite(array)] for name, array in arrays.items()}
    arrays = {name: array for name, array in arrays.items() if array.size}
    if not arrays:
        return [], 0, 1
    low = min(float(array.min()) for array in arrays.values())
    high = max(float(array.max()) for array in arrays.values())
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif low == high:
        low, high = low - 0.5, high + 0.5
    edges = bin_edges(low, high)
    counts = {name: np.histogram(array, edges)[0].tolist() for name, array in arrays.items()}
    most = max(max(counts[name]) / len(array) for name, array in arrays.items())
    charts = []
    for name, array in arrays.items():
        labels = [
            f"{start:.2f} to {end:.2f}: {count} image{'' if count == 1 else 's'}"
            for (start, end), count in zip(pairwise(edges.tolist()), counts[name], strict=True)
        ]
        heights = [count / len(array) / most for count in counts[name]]
        least, lower, middle, upper, greatest = np.quantile(array, (0, 0.25, 0.5, 0.75, 1)).tolist()
        charts.append(
            Histogram(
                name,
                bars(heights, labels, width, height),
                len(array),
                float(array.mean()),
                (least, lower, middle, upper, greatest),
                Scale(low, high, width)(middle),
            )
        )
    return charts, low, high


# ---- curves -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Curve:
    """A figure over one option, everything else being equal."""

    rest: str
    """What else was chosen, in words; empty if there is but one curve."""
    points: list[tuple[float, float, str]]
    """X, y, and the figure in words, from left to right."""
    line: str
    """The points as SVG's polyline has them."""
    band: str
    """The intervals around them as SVG's polygon has them; empty without intervals."""


@dataclass(frozen=True)
class Curves:
    """How a figure depends on one option that was tried at three values or more."""

    option: str
    curves: list[Curve]
    low: float
    high: float
    ticks: list[tuple[float, str]]
    """Places and values of the option."""


def curves(
    rows: Sequence[Row], metric: str, *, width: float = 400, height: float = 140
) -> list[Curves]:
    """Curves for each option whose values are numbers, of the leaderboard's rows."""
    names = dict.fromkeys(name for row in rows for name in row.options)
    tried = [n for n in names if len({str(row.options.get(n)) for row in rows}) > 1]
    charts = []
    for option in tried:
        groups = _points(rows, metric, option, [name for name in tried if name != option])
        vertical = scale_of([e for points in groups.values() for _, e in points], height)
        if vertical is not None:
            values = sorted({value for points in groups.values() for value, _ in points})
            across = Scale(values[0], values[-1], width)
            ticks = [(across(value), f"{value:g}") for value in values]
            drawn = [curve(rest, points, across, vertical) for rest, points in groups.items()]
            charts.append(Curves(option, drawn, vertical.low, vertical.high, ticks))
    return charts


def _points(
    rows: Sequence[Row], metric: str, option: str, others: Sequence[str]
) -> dict[str, list[tuple[float, Estimate]]]:
    """For each choice of the other options, in words, the figure over this one's values.

    Fewer than three values are no curve.
    """
    groups: dict[str, list[tuple[float, Estimate]]] = {}
    for row in rows:
        value, estimate = _number(row.options.get(option)), row.scores.get(metric, Estimate())
        if value is not None and math.isfinite(estimate.mean):
            given = {name: row.options.get(name) for name in others}
            rest = ", ".join(f"{name} {v}" for name, v in given.items() if v is not None)
            groups.setdefault(rest, []).append((value, estimate))
    return {
        rest: sorted(points, key=lambda point: point[0])
        for rest, points in groups.items()
        if len({value for value, _ in points}) >= 3
    }


def curve(
    rest: str, points: Sequence[tuple[float, Estimate]], across: Scale, vertical: Scale
) -> Curve:
    """The curve through these values and figures."""

    def at(value: float, figure: float) -> tuple[float, float] | None:
        if not math.isfinite(figure):
            return None
        return across(value), vertical.width - vertical(figure)

    def path(places: Sequence[tuple[float, float] | None]) -> str:
        return " ".join(f"{x:g},{y:.2f}" for x, y in (p for p in places if p is not None))

    middle = [at(value, e.mean) for value, e in points]
    ends = [at(v, e.low) for v, e in points] + [at(v, e.high) for v, e in reversed(points)]
    words = [f"{value:g}: {e.mean:.4f}" for value, e in points]
    places = [(*p, text) for p, text in zip(middle, words, strict=True) if p is not None]
    return Curve(rest, places, path(middle), path(ends) if None not in ends else "")


def _number(value: object) -> float | None:
    """An option's value if it is a number."""
    try:
        return finite(float(str(value)))
    except ValueError:
        return None


# ---- waterfalls -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fall:
    """One bar of a waterfall, from where the one above it ended."""

    part: str
    """`whole`, `segmenter`, `placement`, `saliency`, `selection` or `iou`."""
    title: str
    value: float
    """What it takes away; below zero it gives. Of `whole` and `iou` the figure itself."""
    x: float
    width: float
    end: float
    """Where the next bar begins."""
    low: float | None = None
    high: float | None = None


PARTS = (
    ("segmenter", "segmenter"),
    ("placement", "prompt: placement"),
    ("saliency", "prompt: saliency"),
    ("selection", "selection"),
)
"""From what the segmenter cannot do to what was chosen badly."""


def signed(value: float) -> str:
    """A change: `+0.012`, `−0.003`, `0.000`."""
    text = f"{abs(value):.3f}"
    return text if float(text) == 0 else f"{'+' if value > 0 else '−'}{text}"


def waterfall(recipe: RecipeLosses, scale: Scale) -> list[Fall]:
    """The bars from 1 down to the recipe's IoU."""
    level = 1.0
    bars = [Fall("whole", "perfect", 1, 0, scale(1), scale(1))]
    for part, title in PARTS:
        value = getattr(recipe, part)
        ends = sorted((scale(level), scale(level - value)))
        level -= value
        low, high = recipe.intervals.get(part, (None, None))
        bars.append(
            Fall(part, title, value, ends[0], round(ends[1] - ends[0], 2), scale(level), low, high)
        )
    bars.append(Fall("iou", "IoU", recipe.iou, 0, scale(recipe.iou), scale(recipe.iou)))
    return bars


def waterfall_scale(recipes: Sequence[RecipeLosses], width: float) -> Scale:
    """One scale for all waterfalls: up to 1, or to where a gain leads beyond it.

    It begins at 0; where nothing falls below 0.5, closer to what is to be seen, at a tenth.
    """
    levels = [1.0]
    for recipe in recipes:
        level = 1.0
        for part, _ in PARTS:
            level -= getattr(recipe, part)
            levels.append(level)
        levels.append(recipe.iou)
    least, most = min(levels), max(levels)
    span = most - least
    low = math.floor((least - span / 4) * 10) / 10 if least >= 0.5 else 0.0
    return Scale(low, most, width)
