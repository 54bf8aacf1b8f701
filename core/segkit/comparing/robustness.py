"""What a recipe bears: its figures under damage that rises from level to level.

A curve is the figure over the levels, from 0, no damage. Its *area* is the mean height by the
trapezoid rule, in the figure's own unit: what the recipe reaches when any strength from none to the
greatest is as likely. What it *keeps* is the area over the figure at level 0: 1 where nothing is
lost. Intervals are those of the leaderboard, over images, with the same draws at each level.

Along the chain each damaged image is compared with itself at level 0 (see `damage`): how far
the heatmap drifts, how far the prompts move, what the mask loses. A stage *gives way* at the first
level at which its mean passes the limit in `LIMITS`.
"""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from segkit.comparing.leaderboard import Drawn, Estimate, Lines, finite_json, interval, resamples
from segkit.plugins.catalog import Catalog
from segkit.plugins.contract import scores_of
from segkit.plugins.steps import Metric, Perturbation
from segkit.running.plan import Plan
from segkit.values.types import Prompts

LIMITS = {"heatmap": 0.1, "prompt": 0.05, "mask": 0.1}
"""Where a stage has given way: the heatmap's drift (1 − correlation), the way of the prompts as a
share of the image's diagonal, the mask's loss (1 − IoU with the mask of level 0)."""

AGREEMENT = "agreement"
"""The figure without a metric: the IoU with the mask of level 0."""

CHAIN = ("heatmap_drift", "prompt_moved", "prompt_moved_share", "mask_lost", "true_iou")
"""What is noted of each damaged image, beside the metrics' counts."""


@dataclass(frozen=True)
class Point:
    """One recipe under one perturbation at one level: means over images."""

    level: int
    figure: Estimate
    change: Estimate
    """The figure minus that at level 0, image by image."""
    scores: Mapping[str, float]
    """Every metric's figures."""
    heatmap_drift: Estimate | None
    """1 − correlation with the heatmap of level 0; None where there is no heatmap."""
    prompt_moved: Estimate | None
    """How far points and boxes moved, in pixels; None where there are none."""
    prompt_moved_share: Estimate | None
    """The same as a share of the image's diagonal."""
    mask_lost: Estimate | None
    """1 − IoU with the foreground of level 0; None where there is none."""
    true_iou: Estimate | None
    """IoU of the foreground with the truth, over images that have an object; None without."""


@dataclass(frozen=True)
class Curve:
    """One recipe under one perturbation."""

    recipe: str
    perturbation: str
    images: int
    """Those that every recipe has finished at every level; the figures are theirs."""
    points: tuple[Point, ...]
    """From level 0 up."""
    area: Estimate
    kept: Estimate

    @property
    def gives_way(self) -> dict[str, int | None]:
        """Stage to the first level at which it has given way; None: it has not, or is not there."""
        shown = {"heatmap": "heatmap_drift", "prompt": "prompt_moved_share", "mask": "mask_lost"}
        found: dict[str, int | None] = {}
        for stage, name in shown.items():
            passed = [
                p.level for p in self.points if (e := getattr(p, name)) and e.mean > LIMITS[stage]
            ]
            found[stage] = min(passed, default=None)
        return found

    @property
    def first(self) -> tuple[str, int] | None:
        """The stage that gives way first, and at which level; of two at one level the earlier."""
        there = [(stage, level) for stage, level in self.gives_way.items() if level is not None]
        return min(there, key=lambda found: found[1], default=None)


@dataclass(frozen=True)
class Robustness:
    """What recipes bear."""

    figure: str
    higher_is_better: bool
    levels: int
    """The greatest level."""
    images: int
    perturbations: tuple[Mapping[str, Any], ...]
    """`name`, `damages` (image or prompts), `options`, `summary` of each."""
    words: Mapping[str, str]
    """Recipe to its steps in a row; the best recipe first."""
    curves: tuple[Curve, ...]
    errors: tuple[Mapping[str, Any], ...] = ()
    """`image`, `recipe`, `perturbation`, `level`, `error` of what failed; level 0: the image."""
    skipped: Sequence[Mapping[str, str]] = ()
    pictures: tuple[Mapping[str, Any], ...] = ()
    """`image`, `recipe`, `perturbation`, `level`, `file` of the example pictures."""

    @property
    def failed(self) -> dict[str, list[str]]:
        """Image to the recipes that failed on it, damaged or not."""
        found: dict[str, dict[str, None]] = {}
        for one in self.errors:
            found.setdefault(one["image"], {})[one["recipe"]] = None
        return {image: list(recipes) for image, recipes in found.items()}

    def of(self, recipe: str) -> list[Curve]:
        """A recipe's curves, the most harmful perturbation first."""
        sign = 1 if self.higher_is_better else -1
        return sorted(
            (c for c in self.curves if c.recipe == recipe),
            key=lambda c: sign * c.area.mean if math.isfinite(c.area.mean) else math.inf,
        )

    def reading(self, recipe: str) -> str:
        """What it means, in a sentence or two."""
        curves = [c for c in self.of(recipe) if math.isfinite(c.kept.mean)]
        if not curves:
            return f"{recipe}: there is no {self.figure} to compare."
        worst, best = curves[0], curves[-1]
        who = recipe if len(self.words) > 1 else "The recipe"
        base = f"{who} has {self.figure} {worst.points[0].figure.mean:.3f} without damage"
        if worst is best:
            text = f"{base}; under {worst.perturbation} its mean is {worst.area.mean:.3f}."
        else:
            text = (
                f"{base}; {worst.perturbation} harms it most (mean {worst.area.mean:.3f}), "
                f"{best.perturbation} least ({best.area.mean:.3f})."
            )
        if worst.first is None:
            return f"{text} Under {worst.perturbation} no stage gives way."
        stage, level = worst.first
        too = [s for s, k in worst.gives_way.items() if k == level and s != stage]
        more = f", and with it the {' and the '.join(too)}" if too else ""
        return (
            f"{text} Under {worst.perturbation} the {stage} gives way first, at level {level}"
            f"{more}."
        )

    def to_dict(self) -> dict[str, Any]:
        """What robustness.json holds."""
        curves = [
            asdict(c)
            | {"gives_way": c.gives_way, "gives_way_first": c.first[0] if c.first else None}
            for c in self.curves
        ]
        made = {
            "figure": self.figure,
            "higher_is_better": self.higher_is_better,
            "levels": self.levels,
            "images": self.images,
            "limits": LIMITS,
            "perturbations": [dict(p) for p in self.perturbations],
            "recipes": [
                {
                    "recipe": name,
                    "words": words,
                    "mean_area": _mean(c.area.mean for c in self._shared(name)),
                    "mean_kept": _mean(c.kept.mean for c in self._shared(name)),
                    "reading": self.reading(name),
                }
                for name, words in self.words.items()
            ],
            "curves": curves,
            "pictures": [dict(p) for p in self.pictures],
            "failed": [dict(e) for e in self.errors],
            "skipped": [dict(s) for s in self.skipped],
        }
        return dict(finite_json(made))

    def _shared(self, recipe: str) -> list[Curve]:
        """The recipe's curves under those perturbations that every recipe has."""
        times = Counter(c.perturbation for c in self.curves)
        return [
            c
            for c in self.curves
            if c.recipe == recipe and times[c.perturbation] == len(self.words)
        ]

    def to_csv(self) -> str:
        """One row for each recipe, perturbation and level."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        scores = list(dict.fromkeys(s for c in self.curves for p in c.points for s in p.scores))
        estimates = ("figure", "change", *CHAIN)
        names = (self.figure or "figure", *estimates[1:])
        heads = [name + part for name in names for part in ("", "_low", "_high")]
        others = [s for s in scores if s != self.figure]
        writer.writerow(["recipe", "perturbation", "level", "images", *heads, *others])
        for curve in self.curves:
            for point in curve.points:
                cells: list[float | str] = []
                for name in estimates:
                    found: Estimate | None = getattr(point, name)
                    values = (found.mean, found.low, found.high) if found else (math.nan,) * 3
                    cells += ["" if math.isnan(v) else v for v in values]
                cells += [point.scores.get(s, "") for s in others]
                writer.writerow(
                    [curve.recipe, curve.perturbation, point.level, curve.images, *cells]
                )
        return out.getvalue()


def _mean(values: Iterable[float]) -> float:
    found = [v for v in values if math.isfinite(v)]
    return sum(found) / len(found) if found else math.nan


def make_robustness(
    results: Mapping[str, Lines],
    plans: Mapping[str, Plan],
    perturbations: Sequence[Perturbation],
    levels: int,
    *,
    figure: str | None = None,
    seed: int = 0,
    skipped: Sequence[Mapping[str, str]] = (),
    catalog: Catalog | None = None,
) -> Robustness:
    """Curves of lines of results.jsonl, recipe by recipe.

    Of a perturbation only those images count that every recipe which has it finished at every
    level, so that no curve rises because a hard image failed.
    """
    metrics = {name: plan.metrics for name, plan in plans.items()}
    chosen = figure or _figure(results, metrics)
    lower = any(
        m.lower_is_better and chosen.startswith(m.name) for ms in metrics.values() for m in ms
    )
    tables = {name: _tables(lines) for name, lines in results.items()}
    curves = []
    for step in perturbations:
        having = [n for n, table in tables.items() if any(k[0] == step.name for k in table)]
        wanted = [("", 0), *((step.name, level) for level in range(1, levels + 1))]
        images = [
            image
            for image in next(iter(results.values()), {})
            if having and all(image in tables[n].get(k, {}) for n in having for k in wanted)
        ]
        for name in having if images else ():
            rows = [{image: tables[name][k][image] for image in images} for k in wanted]
            if _untouched(step, rows):
                reason = f"none of its prompts has anything that {step.name} moves"
                skipped = [*skipped, {"recipe": name, "reason": reason}]
                continue
            curves.append(_curve(name, step.name, metrics[name], chosen, rows, seed))
    errors = [
        {"image": image, "recipe": name, "perturbation": None, "level": 0, "error": line["error"]}
        for name, lines in results.items()
        for image, line in lines.items()
        if line["status"] != "ok"
    ]
    errors += [
        {"image": image, "recipe": name}
        | {key: entry[key] for key in ("perturbation", "level", "error")}
        for name, lines in results.items()
        for image, line in lines.items()
        for entry in line.get("robustness", ())
        if entry["error"] is not None
    ]
    pictures = [
        {"image": image, "recipe": name, "file": entry["picture"]}
        | {key: entry.get(key, other) for key, other in (("perturbation", None), ("level", 0))}
        for name, lines in results.items()
        for image, line in lines.items()
        for entry in (line, *line.get("robustness", ()))
        if "picture" in entry
    ]
    made = Robustness(
        chosen,
        not lower,
        levels,
        max((c.images for c in curves), default=0),
        tuple(_described(step, catalog) for step in perturbations),
        {name: plan.words for name, plan in plans.items()},
        tuple(curves),
        tuple(errors),
        skipped,
        tuple(pictures),
    )
    return _best_first(made)


Key = tuple[str, int]
"""Perturbation and level; ("", 0) is the image as it is."""


def _tables(lines: Lines) -> dict[Key, dict[str, Mapping[str, Any]]]:
    """What was noted of each image that was finished, by perturbation and level."""
    found: dict[Key, dict[str, Mapping[str, Any]]] = {}
    for image, line in lines.items():
        if line["status"] != "ok":
            continue
        found.setdefault(("", 0), {})[image] = {
            "counts": line["counts"],
            "true_iou": line["true_iou"],
        }
        for entry in line["robustness"]:
            if entry["error"] is None:
                key = entry["perturbation"], entry["level"]
                found.setdefault(key, {})[image] = entry
    return found


def _untouched(step: Perturbation, rows: Sequence[Mapping[str, Mapping[str, Any]]]) -> bool:
    """Whether damage to prompts finds nothing to damage: of boxes, where there are only points."""
    found = [entry["prompt_moved"] for row in rows[1:] for entry in row.values()]
    return type(step).output() is Prompts and not any(found)


def _summed(metric: Metric, rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """A metric's figures for the added counts of some images."""
    total: Counter[str] = Counter()
    for row in rows:
        total.update(row["counts"].get(metric.name, {}))
    return scores_of(metric, total, finite=False) if total else {}


def _figure(results: Mapping[str, Lines], metrics: Mapping[str, Sequence[Metric]]) -> str:
    """iou, or else the first figure that there is, or else the agreement."""
    known = [
        figure
        for name, lines in results.items()
        for metric in metrics[name]
        for figure in _summed(metric, [line for line in lines.values() if line["status"] == "ok"])
    ]
    return "iou" if "iou" in known else next(iter(known), AGREEMENT)


def _curve(
    recipe: str,
    perturbation: str,
    metrics: Sequence[Metric],
    figure: str,
    rows: Sequence[Mapping[str, Mapping[str, Any]]],
    seed: int,
) -> Curve:
    """The curve of what was noted (image to entry) at each level from 0."""
    images = list(rows[0])
    scores: list[dict[str, float]] = [{} for _ in rows]
    owner: Metric | None = None
    for metric in metrics:
        for made, row in zip(scores, rows, strict=True):
            found = _summed(metric, row.values())
            made |= found
            owner = metric if figure in found else owner
    means, draws = [], []
    for level, row in enumerate(rows):
        if figure == AGREEMENT:
            lost = [0.0 if not level else row[image]["mask_lost"] for image in images]
            values = 1 - np.array([math.nan if v is None else v for v in lost])
            means.append(float(values.mean()))
            draws.append(resamples(len(images), seed) @ values / len(images))
        else:
            drawn = Drawn([owner] if owner else [], row, images, seed)
            means.append(drawn.figures.get(figure, math.nan))
            draws.append(drawn.draws.get(figure, np.full(1, math.nan)))
    count = len(images)

    def estimate(mean: float, found: Any) -> Estimate:
        return Estimate(mean, *interval(np.asarray(found), count))

    points = tuple(
        Point(
            level,
            estimate(means[level], draws[level]),
            estimate(means[level] - means[0], draws[level] - draws[0]),
            scores[level],
            **{name: _noted(name, level, rows, seed) for name in CHAIN},
        )
        for level in range(len(rows))
    )
    area, areas = _area(means), _area(draws)
    with np.errstate(divide="ignore", invalid="ignore"):
        kept = estimate(area / means[0] if means[0] else math.nan, areas / draws[0])
    return Curve(recipe, perturbation, count, points, estimate(area, areas), kept)


def _area(heights: Sequence[Any]) -> Any:
    """The mean height by the trapezoid rule; the heights stand at equal distances."""
    return (sum(heights) - (heights[0] + heights[-1]) / 2) / (len(heights) - 1)


def _noted(
    name: str, level: int, rows: Sequence[Mapping[str, Mapping[str, Any]]], seed: int
) -> Estimate | None:
    """The mean over images of what was noted under this name; None if it was not."""
    if not level and name != "true_iou":  # nothing has moved yet, of what there is
        there = any(entry[name] is not None for row in rows[1:] for entry in row.values())
        return Estimate(0.0, 0.0, 0.0) if there else None
    found = [entry[name] for entry in rows[level].values() if entry[name] is not None]
    if not found:
        return None
    values, count = np.array(found, float), len(found)
    return Estimate(float(values.mean()), *interval(resamples(count, seed) @ values / count, count))


def _described(step: Perturbation, catalog: Catalog | None) -> dict[str, Any]:
    """A perturbation for robustness.json."""
    entry = catalog.origin(type(step)) if catalog else None
    return {
        "name": step.name,
        "damages": "prompts" if type(step).output() is Prompts else "image",
        "options": step.model_dump(mode="json", exclude_none=True),
        "summary": entry.summary if entry else "",
    }


def _best_first(found: Robustness) -> Robustness:
    """Recipes by their mean area, and the curves in their order."""
    sign = -1 if found.higher_is_better else 1
    areas = {r["recipe"]: r["mean_area"] for r in found.to_dict()["recipes"]}
    order = sorted(found.words, key=lambda r: math.inf if areas[r] is None else sign * areas[r])
    curves = sorted(found.curves, key=lambda c: order.index(c.recipe))
    words = {name: found.words[name] for name in order}
    return replace(found, words=words, curves=tuple(curves))
