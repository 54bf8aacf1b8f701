"""Which recipe is better, and whether that is more than chance.

Every figure is an estimate from the images at hand. Its interval comes from the bootstrap (Efron
1979): images are drawn anew with replacement, their counts are added, and the metric is worked out
again, 2,000 times. Recipes are compared on the same draws, image by image (paired), so that what
makes an image hard for both takes no part. Intervals are percentiles, widened for few images as
Hesterberg ("What teachers should know about the bootstrap", 2015, section 5.3) advises.

A difference is claimed only if its interval leaves out zero and a permutation test agrees: on each
image the two recipes' counts are swapped at random, 2,000 times; if the recipes were alike, a
difference as large as the one found would come about in fewer than 5 % of them. That holds its
level even where a few images make up the whole difference.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.plugins.contract import blamed, scores_of
from segkit.plugins.steps import Metric

DRAWS = 2000
"""How often the images are drawn anew."""

LEVEL = 0.95
"""The share of intervals that should hold the true figure."""

Lines = Mapping[str, Mapping[str, Any]]
"""Image name to its line of results.jsonl."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        if not math.isfinite(self.low):
            return f"{self.mean:.3f}"
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Row:
    """One recipe."""

    recipe: str
    options: Mapping[str, str]
    """What tells it from the others: axis, such as `prompt` or `topk.k`, to value."""
    words: str
    """Its steps in a row."""
    scores: Mapping[str, Estimate]
    seconds: Mapping[str, float]
    """Step to seconds an image; work that recipes share counts for each of them."""
    images: int
    failed: int


@dataclass(frozen=True)
class Pair:
    """Two recipes compared on the same images."""

    better: str
    worse: str
    metric: str
    difference: float
    """How much better, in the metric's unit; at least 0."""
    low: float
    high: float
    p: float | None
    """How often a difference as large comes about by swapping the two at random on each image;
    None where the interval holds zero, so that nothing is claimed anyway."""
    images: int

    @property
    def distinguishable(self) -> bool:
        """Whether the interval of the difference leaves out zero and chance is ruled out."""
        return self.p is not None and self.p < 1 - LEVEL

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        plural = "" if self.images == 1 else "s"
        if not (self.difference or self.low or self.high):
            return f"{self.better} and {self.worse} have the same {self.metric}"
        if self.distinguishable:
            margin = (self.high - self.low) / 2
            reach = f"± {margin:.3f} {self.metric}"
            if margin >= self.difference:  # lopsided: it leaves out zero all the same
                reach = f"{self.metric} (95 % interval {self.low:.3f} to {self.high:.3f})"
            return f"{self.better} beats {self.worse} by {self.difference:.3f} {reach}"
        alike = (
            f"{self.better} and {self.worse} are not distinguishable on {self.images} image{plural}"
        )
        if not math.isfinite(self.low):
            return alike
        return (
            f"{alike} ({self.metric} better by {self.difference:.3f}, 95 % interval "
            f"{self.low:.3f} to {self.high:.3f})"
        )


@dataclass(frozen=True)
class Leaderboard:
    """Recipes, best first, and each pair of them compared. A notebook shows it as a table."""

    metric: str
    """What it is sorted by."""
    higher_is_better: bool
    images: int
    """Images that every recipe finished; the figures are those of these images."""
    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...]
    """Every pair, the better recipe's place first, then the worse one's."""
    failed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Image to the recipes that failed on it."""
    skipped: Sequence[Mapping[str, str]] = ()
    """`recipe` and `reason` of the combinations that cannot be run."""
    missed: str = ""
    """The figure that it should have been sorted by, where no recipe has it."""

    def pair(self, one: str, other: str) -> Pair | None:
        """The comparison of two recipes, whichever is better; None if one lacks the figure."""
        return next((p for p in self.pairs if {p.better, p.worse} == {one, other}), None)

    def verdicts(self) -> list[str]:
        """The best recipe against each other one, in words."""
        return [p.sentence for p in self.pairs if p.better == self.rows[0].recipe]

    @property
    def caution(self) -> str:
        """What to keep in mind: many comparisons, or a figure that nobody has; mostly empty."""
        if self.missed:
            return f"no recipe has {self.missed}, so they are sorted by {self.metric or 'name'}"
        count = len(self.pairs)
        if count < 10:
            return ""
        return (
            f"{count} pairs were compared: were all recipes alike, about "
            f"{count * (1 - LEVEL):.0f} of them would seem to differ by chance"
        )

    def to_dict(self) -> dict[str, Any]:
        """What leaderboard.json holds."""
        rows = [asdict(row) for row in self.rows]
        for row, following in zip(rows, self.rows[1:], strict=False):
            pair = self.pair(row["recipe"], following.recipe)
            row["verdict"] = pair.sentence if pair else ""
        pairs = [
            asdict(p) | {"distinguishable": p.distinguishable, "sentence": p.sentence}
            for p in self.pairs
        ]
        return {
            "metric": self.metric,
            "higher_is_better": self.higher_is_better,
            "images": self.images,
            "rows": finite_json(rows),
            "pairs": finite_json(pairs),
            "caution": self.caution,
            "failed": {name: list(recipes) for name, recipes in self.failed.items()},
            "skipped": [dict(one) for one in self.skipped],
        }

    def to_csv(self) -> str:
        """One row a recipe: its name, each metric with its interval, seconds an image."""
        metrics = list(dict.fromkeys(m for row in self.rows for m in row.scores))
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        parts = ("", "_low", "_high")
        writer.writerow(
            ["recipe", *(m + part for m in metrics for part in parts), "seconds", "failed"]
        )
        for row in self.rows:
            figures: list[float | str] = []
            for metric in metrics:
                found = row.scores.get(metric)
                figures += [found.mean, found.low, found.high] if found else [""] * 3
            writer.writerow([row.recipe, *figures, sum(row.seconds.values()), row.failed])
        return out.getvalue()

    def _repr_html_(self) -> str:
        metrics = list(dict.fromkeys(m for row in self.rows for m in row.scores))
        head = "".join(f"<th>{escape(m)}</th>" for m in ("recipe", *metrics))
        body = "".join(
            f"<tr><td>{escape(row.recipe)}</td>"
            + "".join(f"<td>{row.scores.get(m, '–')}</td>" for m in metrics)
            + "</tr>"
            for row in self.rows
        )
        words = "".join(f"<li>{escape(sentence)}</li>" for sentence in self.verdicts())
        return f"<table><tr>{head}</tr>{body}</table><ul>{words}</ul>"


def make_leaderboard(
    results: Mapping[str, Lines],
    metrics: Mapping[str, Sequence[Metric]],
    *,
    sort_by: str | None = None,
    options: Mapping[str, Mapping[str, str]] | None = None,
    words: Mapping[str, str] | None = None,
    skipped: Sequence[Mapping[str, str]] = (),
    seed: int = 0,
) -> Leaderboard:
    """Compare recipes: `results` are the lines of each one's results.jsonl by image.

    Only images that all recipes finished count, for a recipe that fails on hard images would
    look good. `options` and `words` describe the recipes. They are sorted by the figure `sort_by`
    (left out: iou), or by the first that there is if no recipe has it.
    """
    common = _common(results)
    drawn = {name: Drawn(metrics[name], lines, common, seed) for name, lines in results.items()}
    known = list(dict.fromkeys(key for d in drawn.values() for key in d.figures))
    asked, sort_by = sort_by, sort_by or "iou"
    if sort_by not in known:
        sort_by = next(iter(known), "")
    lower = any(
        m.lower_is_better and sort_by.startswith(m.name) for ms in metrics.values() for m in ms
    )
    sign = -1 if lower else 1

    def place(name: str) -> float:
        value = drawn[name].figures.get(sort_by, math.nan)
        return math.inf if math.isnan(value) else -sign * value

    order = sorted(results, key=place)
    rows = tuple(
        Row(
            name,
            dict((options or {}).get(name, {})),
            (words or {}).get(name, ""),
            drawn[name].estimates(),
            _seconds(results[name]),
            images=len(common),
            failed=sum(line["status"] != "ok" for line in results[name].values()),
        )
        for name in order
    )
    pairs = tuple(
        _pair(one, other, drawn, sort_by, sign, len(common))
        for i, one in enumerate(order)
        for other in order[i + 1 :]
        if sort_by in drawn[one].draws and sort_by in drawn[other].draws
    )
    failed: dict[str, list[str]] = {}
    for recipe, lines in results.items():
        for image, line in lines.items():
            if line["status"] != "ok":
                failed.setdefault(image, []).append(recipe)
    missed = asked or "" if asked != sort_by else ""
    return Leaderboard(sort_by, not lower, len(common), rows, pairs, failed, skipped, missed)


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


def resamples(count: int, seed: int) -> NDArray[np.float64]:
    """(draws, count): how often each of `count` images comes in each draw."""
    rng = np.random.default_rng(seed)
    if not count:
        return np.zeros((DRAWS, 0))
    return rng.multinomial(count, np.full(count, 1 / count), size=DRAWS).astype(np.float64)


def _common(results: Mapping[str, Lines]) -> list[str]:
    """The images that every recipe finished, in the first one's order."""
    first = next(iter(results.values()), {})
    return [
        image
        for image in first
        if all(lines.get(image, {}).get("status") == "ok" for lines in results.values())
    ]


class Drawn:
    """One recipe's figures: on its images, and on each draw of them."""

    def __init__(
        self, metrics: Sequence[Metric], lines: Lines, images: Sequence[str], seed: int
    ) -> None:
        self.count = len(images)
        self.tables: dict[str, tuple[Metric, list[str], NDArray[np.float64]]] = {}
        """Figure to its metric, and the counts (images, keys) that it is made of."""
        self.figures: dict[str, float] = {}
        self.draws: dict[str, NDArray[np.float64]] = {}
        weights = resamples(self.count, seed)
        for metric in metrics:
            counts = [lines[image]["counts"].get(metric.name, {}) for image in images]
            keys = list(dict.fromkeys(key for c in counts for key in c))
            if not keys:
                continue
            table = np.array([[c.get(key, 0.0) for key in keys] for c in counts])
            sums = dict(zip(keys, table.sum(axis=0).tolist(), strict=True))
            self.figures |= scores_of(metric, sums, finite=False)
            found = _scored(metric, keys, weights @ table)
            self.draws |= found
            self.tables |= dict.fromkeys(found, (metric, keys, table))

    def estimates(self) -> dict[str, Estimate]:
        """Every figure with its interval."""
        nothing = np.array([])
        return {
            name: Estimate(value, *interval(self.draws.get(name, nothing), self.count))
            for name, value in self.figures.items()
        }


def _pair(
    one: str, other: str, drawn: Mapping[str, Drawn], metric: str, sign: int, count: int
) -> Pair:
    first, second = drawn[one], drawn[other]
    difference = sign * (first.figures[metric] - second.figures[metric])
    low, high = interval(sign * (first.draws[metric] - second.draws[metric]), count)
    chance = _chance(first, second, metric, difference) if low > 0 else None
    return Pair(one, other, metric, difference, low, high, chance, count)


def _chance(first: Drawn, second: Drawn, metric: str, difference: float) -> float:
    """The share of random swaps, image by image, that make as large a difference."""
    judge, keys, table = first.tables[metric]
    _, other_keys, other_table = second.tables[metric]
    both = list(dict.fromkeys((*keys, *other_keys)))
    one = _columns(table, keys, both)
    other = _columns(other_table, other_keys, both)
    swapped = np.random.default_rng(0).integers(0, 2, (DRAWS, len(one))) @ (other - one)
    left = _scored(judge, both, one.sum(axis=0) + swapped).get(metric)
    right = _scored(judge, both, other.sum(axis=0) - swapped).get(metric)
    if left is None or right is None:
        return 1.0
    apart = np.abs(left - right)
    as_large = ~(apart < difference - 1e-9)  # what is not a number counts as large
    return float((1 + np.count_nonzero(as_large)) / (1 + DRAWS))


def _columns(
    table: NDArray[np.float64], keys: Sequence[str], wanted: Sequence[str]
) -> NDArray[np.float64]:
    """The table's columns of these keys, zeros for those that it lacks."""
    there = {key: table[:, i] for i, key in enumerate(keys)}
    return np.stack([there.get(key, np.zeros(len(table))) for key in wanted], axis=1)


def _scored(
    metric: Metric, keys: Sequence[str], sums: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Each of the metric's figures for rows of added counts; NaN where there is none."""
    with blamed(metric):
        found = [metric.score(dict(zip(keys, row, strict=True))) for row in sums.tolist()]
        names = dict.fromkeys(name for scores in found for name in scores)
        return {
            name: np.array([scores.get(name, math.nan) for scores in found], np.float64)
            for name in names
        }


def _seconds(lines: Lines) -> dict[str, float]:
    """Step to seconds, the mean over the finished images."""
    good = [line for line in lines.values() if line["status"] == "ok"]
    total: dict[str, float] = {}
    for line in good:
        for step, spent in line["seconds"].items():
            total[step] = total.get(step, 0) + spent
    return {step: spent / len(good) for step, spent in total.items()}


def finite_json(found: Any) -> Any:
    """The same with None for NaN and infinity, which JSON does not have."""
    if isinstance(found, dict):
        return {key: finite_json(value) for key, value in found.items()}
    if isinstance(found, (list, tuple)):
        return [finite_json(value) for value in found]
    return None if isinstance(found, float) and not math.isfinite(found) else found
