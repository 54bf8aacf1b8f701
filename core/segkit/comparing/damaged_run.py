"""Run recipes on damaged images and prompts: each image as it is, then under every damage.

Every recipe sees every image undamaged (level 0) and under each perturbation at levels 1 … N. A
perturbation of images damages what saliency and segmenter see, while the truth stays; one of
prompts damages what the prompters made before the segmenter reads it. Level 0 is computed once for
all perturbations, and what recipes have in common once for each damaged image. What comes of it is
in `segkit.comparing.robustness`.
"""

from __future__ import annotations

import json
import math
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segkit.comparing.damage import (
    Damaged,
    Place,
    heatmap_drift,
    mask_lost,
    prompts_moved,
    true_iou,
)
from segkit.comparing.robustness import Robustness, make_robustness
from segkit.comparing.sweep import as_before, check_figure
from segkit.deprecations import SegkitWarning
from segkit.errors import PlanError, UsageError
from segkit.plugins.catalog import Catalog
from segkit.plugins.observers import Observers
from segkit.plugins.packages import BUNDLED
from segkit.plugins.steps import Perturbation
from segkit.running.folder import Record, disk_error, write_text
from segkit.running.graph import Graph
from segkit.running.ledger import note_files
from segkit.running.owned import read_lines
from segkit.running.plan import Plan
from segkit.running.recipe import make_step, recorded, to_toml
from segkit.running.session import (
    Outcome,
    Totals,
    blamed,
    chunk_size,
    class_ids,
    common_dataset,
    finish_writers,
    line_of,
    opened,
    reader_of,
    work_through,
)
from segkit.running.sources import RunImages
from segkit.running.takeup import Session
from segkit.running.work import Work
from segkit.values.types import Prompts

PICTURE = 200
"""Height of the panels of example pictures."""

FILES = ("robustness.toml", "robustness.json", "robustness.csv")
"""What stands beside the recipes' folders."""


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
        with blamed(self.dataset):
            self.images = RunImages.of(self.dataset)  # first: a folder without leaves no trace
        self.ids = class_ids(plans, classes)
        self.levels = levels
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
        session = Session(
            self.directory,
            self.images,
            self.plans,
            self.records,
            resume=resume,
            overwrite=overwrite,
        )
        session.check(FILES)
        self._check_same(resume and not overwrite)
        last = [s for plan in self.plans.values() for s in (*plan.metrics, *plan.writers)]
        steps = [self.dataset, *self.graph.steps.values(), *last, *self.on_images]
        try:
            with opened(steps, device):
                session.start(reader_of(self.dataset), needs="robustness", files=FILES)
                self._start()
                done = sum(len(r.finished) for r in self.records.values())
                recipes, images = tuple(self.plans), len(self.images)
                watch.tell("segkit_before_run", recipes=recipes, images=images, done=done)
                self._walk(chunk, watch)
            summaries = {name: total.summary() for name, total in self.totals.items()}
            for name, record in self.records.items():
                try:
                    finish_writers(self.plans[name], record)
                    record.finish(summaries[name])
                except OSError as error:
                    raise disk_error(error, record.directory, self.totals[name].images) from error
        except BaseException as error:
            if isinstance(error, Exception):
                watch.tell("segkit_run_failed", error=error)
            raise
        watch.tell("segkit_after_run", summaries=summaries)
        for sentence in watch.dropped:
            warnings.warn(sentence, SegkitWarning, stacklevel=3)

    def _check_same(self, resume: bool) -> None:
        """Refuse to go on with what was asked otherwise."""
        path = self.directory / "robustness.toml"
        if resume and path.exists() and path.read_text(encoding="utf-8") != self.text:
            raise UsageError(
                f"--resume: {self.directory} was run with other perturbations or levels (see its "
                "robustness.toml); ask for the same, or choose another folder"
            )

    def _start(self) -> None:
        """Say what was asked for, and take up what is done."""
        try:
            write_text(self.directory / "robustness.toml", self.text)
        except OSError as error:
            raise disk_error(error, self.directory, 0) from error
        for name, record in self.records.items():
            for line in record.finished.values():
                self.totals[name].add(line)
                if any("picture" in entry for entry in line["robustness"]):
                    self.example = -1  # there are pictures of an image that is finished

    def _walk(self, chunk: int, watch: Observers) -> None:
        """Take each outcome to the image and recipe that it belongs to."""
        damaged = Damaged.of(
            self.dataset, self.on_images, self.levels, self.seed, self.images.names
        )
        places = damaged.places
        skipped = self.images.skipped
        finished = {name: {*record.finished} | skipped for name, record in self.records.items()}
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
        for outcome in work_through(self.branches, damaged, work, chunk, skip):
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
            note_files(self.directory, f"examples/{target.name}")
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
            if outcome.error is None:
                record.begin(place.name)
            line = line_of(self.plans[recipe], outcome, record.directory, self.ids, watch)
            good = line["status"] == "ok"
            line["name"] = place.name
            line["source"] = self.images.source(place.name, outcome.image, outcome.truth)
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
