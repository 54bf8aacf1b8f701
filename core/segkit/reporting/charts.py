"""The geometry of the page's charts; the template draws them as SVG.

Lengths are in units of the view box, x to the right, y down.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from segkit.reporting.folder import Estimate, RecipeLosses, Row, finite

BINS = 20
"""Bars of a histogram."""


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
    found = [v for e in estimates for v in (e.low, e.mean, e.high) if finite(v) is not None]
    ends = [v for v in found if v is not None]
    return Scale(min(ends), max(ends), width) if ends else None


@dataclass(frozen=True)
class Bar:
    """One bar of a histogram."""

    x: float
    width: float
    height: float
    label: str


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

    The scale is 0 … 1 if all values lie in it. Recipes without values are left out; heights are
    comparable between recipes by the share of their images.
    """
    values = [(name, sorted(v for v in some if math.isfinite(v))) for name, some in values]
    values = [(name, some) for name, some in values if some]
    if not values:
        return [], 0, 1
    low = min(min(some) for _, some in values)
    high = max(max(some) for _, some in values)
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    scale = Scale(low, high, width)
    counts = [(name, some, _counts(some, low, high)) for name, some in values]
    most = max(max(found) / len(some) for _, some, found in counts)
    step = (high - low) / BINS
    made = []
    for name, some, found in counts:
        bars = [
            Bar(
                round(i * width / BINS + 0.5, 2),
                round(width / BINS - 1, 2),
                round(count / len(some) / most * height, 2),
                f"{low + i * step:.2f} to {low + (i + 1) * step:.2f}: {count} "
                f"image{'' if count == 1 else 's'}",
            )
            for i, count in enumerate(found)
            if count
        ]
        least, lower, middle, upper, greatest = (
            _quantile(some, q) for q in (0, 0.25, 0.5, 0.75, 1)
        )
        spread = (least, lower, middle, upper, greatest)
        made.append(Histogram(name, bars, len(some), statistics.fmean(some), spread, scale(middle)))
    return made, low, high


def _counts(values: Sequence[float], low: float, high: float) -> list[int]:
    found = [0] * BINS
    for value in values:
        share = (value - low) / (high - low) if high > low else 0
        found[min(int(share * BINS), BINS - 1)] += 1
    return found


def _quantile(values: Sequence[float], share: float) -> float:
    """Of sorted values, between two of them in proportion."""
    place = share * (len(values) - 1)
    below = int(place)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (place - below)


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
    found = []
    for option in tried:
        groups: dict[str, list[tuple[float, Estimate]]] = {}
        for row in rows:
            value, estimate = _number(row.options.get(option)), row.scores.get(metric, Estimate())
            if value is not None and finite(estimate.mean) is not None:
                others = {k: row.options.get(k) for k in tried if k != option}
                rest = ", ".join(f"{k} {v}" for k, v in others.items() if v is not None)
                groups.setdefault(rest, []).append((value, estimate))
        groups = {
            rest: sorted(points, key=lambda point: point[0])
            for rest, points in groups.items()
            if len({value for value, _ in points}) >= 3
        }
        vertical = scale_of([e for points in groups.values() for _, e in points], height)
        if vertical is not None:
            values = sorted({value for points in groups.values() for value, _ in points})
            across = Scale(values[0], values[-1], width)
            ticks = [(across(value), f"{value:g}") for value in values]
            drawn = [curve(rest, points, across, vertical) for rest, points in groups.items()]
            found.append(Curves(option, drawn, vertical.low, vertical.high, ticks))
    return found


def curve(
    rest: str, points: Sequence[tuple[float, Estimate]], across: Scale, vertical: Scale
) -> Curve:
    """The curve through these values and figures."""

    def at(value: float, figure: float | None) -> tuple[float, float] | None:
        known = finite(figure)
        return None if known is None else (across(value), vertical.width - vertical(known))

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
        found = float(str(value))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


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


def waterfall(found: RecipeLosses, scale: Scale) -> list[Fall]:
    """The bars from 1 down to the recipe's IoU."""
    level = 1.0
    bars = [Fall("whole", "perfect", 1, 0, scale(1), scale(1))]
    for part, title in PARTS:
        value = getattr(found, part)
        ends = sorted((scale(level), scale(level - value)))
        level -= value
        low, high = found.intervals.get(part, (None, None))
        bars.append(
            Fall(part, title, value, ends[0], round(ends[1] - ends[0], 2), scale(level), low, high)
        )
    bars.append(Fall("iou", "IoU", found.iou, 0, scale(found.iou), scale(found.iou)))
    return bars


def waterfall_scale(recipes: Sequence[RecipeLosses], width: float) -> Scale:
    """One scale for all waterfalls: up to 1, or to where a gain leads beyond it.

    It begins at 0; where nothing falls below 0.5, closer to what is to be seen, at a tenth.
    """
    levels = [1.0]
    for found in recipes:
        level = 1.0
        for part, _ in PARTS:
            level -= getattr(found, part)
            levels.append(level)
        levels.append(found.iou)
    least, most = min(levels), max(levels)
    span = most - least
    low = math.floor((least - span / 4) * 10) / 10 if least >= 0.5 else 0.0
    return Scale(low, most, width)
