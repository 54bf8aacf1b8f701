"""What a recipe bears: its figures under damage that rises from level to level.

Every recipe sees every image as it is (level 0) and under each perturbation at levels 1 … N. A
perturbation of images damages what saliency and segmenter see, while the truth stays; one of
prompts damages what the prompters made before the segmenter reads it. Level 0 is computed once for
all perturbations, and what recipes have in common once for each damaged image.

A curve is the figure over the levels. Its *area* is the mean height by the trapezoid rule, in the
figure's own unit: what the recipe reaches when any strength from none to the greatest is as likely.
What it *keeps* is the area over the figure at level 0: 1 where nothing is lost. Intervals are those
of `segkit.leaderboard`, over images, with the same draws at each level.

Along the chain each damaged image is compared with itself at level 0 (see `segkit.damage`): how far
the heatmap drifts, how far the prompts move, what the mask loses. A stage *gives way* at the first
level at which its mean passes the limit in `LIMITS`.
"""

from __future__ import annotations

import csv
import io
import json
import math
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from segkit.catalog import BUNDLED, Catalog
from segkit.comparison import as_before, check_figure
from segkit.damage import Damaged, Place, heatmap_drift, mask_lost, prompts_moved, true_iou
from segkit.errors import PlanError, UsageError
from segkit.graph import Graph
from segkit.leaderboard import Drawn, Estimate, Lines, finite_json, interval, resamples
from segkit.observers import Observers
from segkit.planner import Plan
from segkit.recipe import make_step, recorded, to_toml
from segkit.record import Record, check, disk_error, prepare, read_lines, write_text
from segkit.runner import (
    Outcome,
    Totals,
    chunk_size,
    class_ids,
    common_dataset,
    line_of,
    opened,
    work_through,
)
from segkit.stages import Metric, Perturbation
from segkit.types import Prompts
from segkit.work import Work

LIMITS = {"heatmap": 0.1, "prompt": 0.05, "mask": 0.1}
"""Where a stage has given way: the heatmap's drift (1 − correlation), the way of the prompts as a
share of the image's diagonal, the mask's loss (1 − IoU with the mask of level 0)."""

AGREEMENT = "agreement"
"""The figure without a metric: the IoU with the mask of level 0."""

CHAIN = ("heatmap_drift", "prompt_moved", "prompt_moved_share", "mask_lost", "true_iou")
"""What is noted of each damaged image, beside the metrics' counts."""

PICTURE = 200
"""Height of the panels of example pictures."""


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
        base = f"{recipe} has {self.figure} {worst.points[0].figure.mean:.3f} without damage"
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
        return f"{text} Under {worst.perturbation} the {stage} gives way first, at level {level}."

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


# ---- running -----------------------------------------------------------------------------------


def examine_plans(
    plans: Mapping[str, Plan],
    directory: Path,
    *,
    perturbations: Sequence[Perturbation],
    levels: int = 4,
    sort_by: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    classes: Sequence[str] = (),
    chunk: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    catalog: Catalog | None = None,
    observers: Iterable[object] = (),
    options: Mapping[str, Mapping[str, str]] | None = None,
    skipped: Sequence[Mapping[str, str]] = (),
) -> Robustness:
    """Run the plans on their data set, undamaged and damaged, and say what each one bears.

    `sort_by` is the figure of the curves (left out: iou; without truth the agreement with level 0).
    Other arguments are those of `sweep_plans`. DIR/recipes/NAME is each plan's folder as `run`
    makes it, of level 0; its results.jsonl has what came of the damaged images under `robustness`.
    DIR/robustness.toml holds what was asked for, DIR/robustness.json and .csv the result, and
    DIR/examples the first image under every damage, where overlays are written. `resume` goes on
    with the images that are not finished.

    Raises `UsageError` as `run` does, and for perturbations that come twice; `PlanError` where
    they damage prompts alone and no plan has any.
    """
    if sort_by is not None:
        check_figure(plans, sort_by)
    on_images, on_prompts = _sorted(perturbations, plans)
    if resume:
        names = as_before(plans, directory, seed=seed, classes=classes, catalog=catalog)
        plans = {names[name]: plan for name, plan in plans.items()}
    left_out = [
        {"recipe": name, "reason": f"it has no prompts that {step.name} could damage"}
        for name, plan in plans.items()
        if not plan.prompters
        for step in on_prompts
    ]
    run = _Run(plans, directory, on_images, on_prompts, levels, seed, classes, catalog)
    run.work(chunk_size(chunk, device), device, resume, overwrite, Observers(observers))
    results = {name: read_lines(directory / "recipes" / name / "results.jsonl") for name in plans}
    found = make_robustness(
        results,
        plans,
        perturbations,
        levels,
        figure=sort_by,
        seed=seed,
        skipped=[*skipped, *left_out],
        catalog=catalog,
    )
    try:
        write_text(directory / "robustness.json", json.dumps(found.to_dict(), indent=2) + "\n")
        write_text(directory / "robustness.csv", found.to_csv())
    except OSError as error:
        raise disk_error(error, directory, found.images) from error
    return found


def _sorted(
    perturbations: Sequence[Perturbation], plans: Mapping[str, Plan]
) -> tuple[list[Perturbation], list[Perturbation]]:
    """Those of images and those of prompts."""
    twice = [name for name, n in Counter(p.name for p in perturbations).items() if n > 1]
    if twice or not perturbations:
        raise UsageError(
            f"--perturb names {twice[0]} twice; once is enough"
            if twice
            else "there is no damage to do; name some by --perturb"
        )
    on_prompts = [p for p in perturbations if type(p).output() is Prompts]
    on_images = [p for p in perturbations if p not in on_prompts]
    for step in on_images:
        if "prompts" in type(step).inputs().required:
            raise PlanError(
                f"perturbation '{step.name}' damages images, but asks for prompts, which are made "
                "of them later; leave them out"
            )
    if not on_images and not any(plan.prompters for plan in plans.values()):
        raise PlanError(
            f"{on_prompts[0].name} damages prompts, and no recipe has any; choose a --prompt or "
            "damage that concerns images"
        )
    return on_images, on_prompts


class _Run:
    """One pass over the data set: what comes of each place goes to its image's line."""

    def __init__(
        self,
        plans: Mapping[str, Plan],
        directory: Path,
        on_images: Sequence[Perturbation],
        on_prompts: Sequence[Perturbation],
        levels: int,
        seed: int,
        classes: Sequence[str],
        catalog: Catalog | None,
    ) -> None:
        self.plans, self.directory, self.seed = plans, directory, seed
        self.dataset = common_dataset(plans)
        self.ids = class_ids(plans, classes)
        self.damaged = Damaged.of(self.dataset, on_images, levels, seed)
        self.catalog = catalog or Catalog()
        self.graph = Graph()
        self.branches = {name: self.graph.branch(plan) for name, plan in plans.items()}
        self.on_images = on_images
        self.asked: dict[str, tuple[str, Perturbation, int]] = {}
        """Branch with damaged prompts to its recipe, perturbation and level."""
        for name, plan in plans.items():
            for step in on_prompts if plan.prompters else ():
                for level in range(1, levels + 1):
                    branch = "\0".join((name, step.name, str(level)))
                    self.asked[branch] = (name, step, level)
                    self.branches[branch] = self.graph.branch(plan, damage=(step, level))
        contents = {
            name: recorded(plan, catalog=catalog, seed=seed, classes=classes)
            for name, plan in plans.items()
        }
        self.records = {n: Record(directory / "recipes" / n, c) for n, c in contents.items()}
        self.totals = {n: Totals(plans[n], c, self.ids) for n, c in contents.items()}
        own = Counter(recipe for recipe, _, _ in self.asked.values())
        self.expected = {n: len(on_images) * levels + own[n] for n in plans}
        """How many damaged results an image has, for each recipe."""
        steps = [
            {"name": s.name, **s.model_dump(mode="json", exclude_none=True)}
            for s in (*on_images, *on_prompts)
        ]
        self.text = to_toml({"robustness": {"levels": levels}, "perturbation": steps})
        self.open_images: dict[tuple[str, int], _Image] = {}
        self.example: int | None = None
        """The image of the example pictures, once it is known."""

    def work(
        self, chunk: int, device: str, resume: bool, overwrite: bool, watch: Observers
    ) -> None:
        """Do it, and leave the recipes' folders complete."""
        check(self.directory, resume=resume, overwrite=overwrite)
        last = [s for plan in self.plans.values() for s in (*plan.metrics, *plan.writers)]
        steps = [self.dataset, *self.graph.steps.values(), *last, *self.on_images]
        try:
            with opened(steps, device):
                self._start(resume, overwrite)
                done = sum(len(r.finished) for r in self.records.values())
                recipes, images = tuple(self.plans), len(self.dataset)
                watch.tell("segkit_before_run", recipes=recipes, images=images, done=done)
                self._walk(chunk, watch)
            summaries = {name: total.summary() for name, total in self.totals.items()}
            for name, record in self.records.items():
                try:
                    for writer in self.plans[name].writers:
                        writer.finish(record.directory)
                    record.finish(summaries[name])
                except OSError as error:
                    raise disk_error(error, record.directory, self.totals[name].images) from error
        except BaseException as error:
            if isinstance(error, Exception):
                watch.tell("segkit_run_failed", error=error)
            raise
        watch.tell("segkit_after_run", summaries=summaries)

    def _start(self, resume: bool, overwrite: bool) -> None:
        """Make the folders; refuse to go on with what was asked otherwise."""
        path = self.directory / "robustness.toml"
        there = prepare(self.directory, resume=resume, overwrite=overwrite)
        if there and path.exists() and path.read_text(encoding="utf-8") != self.text:
            raise UsageError(
                f"--resume: {self.directory} was run with other perturbations or levels (see its "
                "robustness.toml); ask for the same, or choose another folder"
            )
        try:
            write_text(path, self.text)
        except OSError as error:
            raise disk_error(error, self.directory, 0) from error
        for name, record in self.records.items():
            record.start(resume=resume, overwrite=overwrite, needs="robustness")
            for line in record.finished.values():
                self.totals[name].add(line)
                if any("picture" in entry for entry in line["robustness"]):
                    self.example = -1  # there are pictures of an image that is finished

    def _walk(self, chunk: int, watch: Observers) -> None:
        """Take each outcome to the image and recipe that it belongs to."""
        places = self.damaged.places
        finished = {name: record.finished for name, record in self.records.items()}
        skip: dict[str, set[str]] = {}
        for branch in self.branches:
            recipe = self.asked[branch][0] if branch in self.asked else branch
            skip[branch] = {
                p.label
                for p in places
                if p.name in finished[recipe] or (branch in self.asked and p.damage is not None)
            }
        # Each branch's outcomes come in the order of its places.
        coming = {b: iter([p for p in places if p.label not in skip[b]]) for b in self.branches}
        work = Work(self.ids, self.seed, watch)
        for outcome in work_through(self.branches, self.damaged, work, chunk, skip):
            place = next(coming[outcome.recipe])
            recipe, damage, level = self.asked.get(
                outcome.recipe, (outcome.recipe, place.damage, place.level)
            )
            key = recipe, place.image
            if damage is None:
                picture = self._picture(recipe, place, outcome, "none-0")
                self.open_images[key] = _Image(outcome, picture)
            else:
                entry = self._entry(self.open_images[key].reference, outcome, damage, level)
                entry |= self._picture(recipe, place, outcome, f"{damage.name}-{level}")
                self.open_images[key].entries.append(entry)
            if len(self.open_images[key].entries) == self.expected[recipe]:
                self._close(recipe, place, self.open_images.pop(key), watch)

    def _entry(
        self, before: Outcome, after: Outcome, damage: Perturbation, level: int
    ) -> dict[str, Any]:
        """What is kept of one damaged result."""
        entry: dict[str, Any] = {"perturbation": damage.name, "level": level, "error": after.error}
        if before.error is not None or after.error is not None:
            return entry
        assert before.image is not None  # it did not fail
        size = before.image.size
        moved = None
        if before.prompts is not None and after.prompts is not None:
            moved = prompts_moved(before.prompts, after.prompts, size)
        found = {
            "heatmap_drift": heatmap_drift(before.heatmaps, after.heatmaps),
            "prompt_moved": moved,
            "prompt_moved_share": None if moved is None else moved / math.hypot(*size),
            "mask_lost": mask_lost(before, after),
            "true_iou": true_iou(after),
        }
        entry |= {name: None if v is None else round(v, 6) for name, v in found.items()}
        return entry | {"counts": {k: v for k, v in after.counts.items() if v}}

    def _picture(self, recipe: str, place: Place, outcome: Outcome, name: str) -> dict[str, Any]:
        """The first recipe's first image as its overlay writer shows it, in DIR/examples."""
        first = next(iter(self.plans))
        wanted = any(w.name == "overlay" for w in self.plans[first].writers)
        if not wanted or recipe != first or outcome.error is not None:
            return {}
        if self.example is None:
            self.example = place.image
        if place.image != self.example:
            return {}
        writer: Any = make_step(self.catalog, "writer", f"{BUNDLED}:overlay", {"height": PICTURE})
        there = {
            name: getattr(outcome, name)
            for name in ("image", "heatmaps", "prompts", "masks", "labels", "truth")
            if getattr(outcome, name) is not None
        }
        iou = true_iou(outcome)
        target = self.directory / "examples" / f"{name}.jpg"
        try:
            target.parent.mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory() as folder:
                (made,) = writer.write(
                    Path(folder), scores={} if iou is None else {"iou": iou}, **there
                )
                target.write_bytes(made.read_bytes())
        except OSError as error:
            raise disk_error(error, self.directory, 0) from error
        return {"picture": target.relative_to(self.directory).as_posix()}

    def _close(self, recipe: str, place: Place, done: _Image, watch: Observers) -> None:
        """Write an image's line, with its level 0 as `run` writes it."""
        record = self.records[recipe]
        outcome = done.reference
        try:
            line = line_of(self.plans[recipe], outcome, record.directory, self.ids, watch)
            good = line["status"] == "ok"
            line["name"] = place.name
            line["true_iou"] = true_iou(outcome) if good else None
            line["robustness"] = done.entries if good else []
            line |= done.picture
            record.append(line)
        except OSError as error:
            raise disk_error(error, record.directory, self.totals[recipe].images) from error
        self.totals[recipe].add(line)
        what = {"name": place.name, "recipe": recipe}
        if good:
            watch.tell("segkit_after_image", result=line, **what)
        else:
            watch.tell("segkit_image_failed", error=line["error"], **what)


@dataclass
class _Image:
    """One image on its way through all its damages, for one recipe."""

    reference: Outcome
    """Level 0."""
    picture: dict[str, Any]
    entries: list[dict[str, Any]] = field(default_factory=list)


# ---- what it comes to --------------------------------------------------------------------------


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
        for name in having:
            rows = [{image: tables[name][k][image] for image in images} for k in wanted if images]
            if rows:
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


def _summed(metric: Metric, rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """A metric's figures for the added counts of some images."""
    total: Counter[str] = Counter()
    for row in rows:
        total.update(row["counts"].get(metric.name, {}))
    return metric.score(dict(total)) if total else {}


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
            {name: float(value) for name, value in scores[level].items()},
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
