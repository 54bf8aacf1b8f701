"""Run recipes on damaged images and prompts: each image as it is, then under every damage.

Every recipe sees every image undamaged (level 0) and under each perturbation at levels 1 … N. A
perturbation of images damages what saliency and segmenter see, while the truth stays; one of
prompts damages what the prompters made before the segmenter reads it. Level 0 is computed once for
all perturbations, and what recipes have in common once for each damaged image. What comes of it is
in `segkit.comparing.robustness`.
"""

from __future__ import annotations

import copy
import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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
from segkit.comparing.robustness import make_robustness
from segkit.comparing.robustness_records import Robustness
from segkit.comparing.sweep import Shown, resumed
from segkit.errors import PlanError, UsageError
from segkit.kinds import BUNDLED, PICTURE_WRITER
from segkit.plugins.catalog import Catalog
from segkit.plugins.contract import blamed
from segkit.plugins.steps import Dataset, Perturbation, Step
from segkit.running.folder import disk_error
from segkit.running.graph import Branch, Graph
from segkit.running.job import Job, Skip, Write
from segkit.running.ledger import note_files
from segkit.running.lines import Line
from segkit.running.lock import owned
from segkit.running.options import RunOptions
from segkit.running.plan import Plan
from segkit.running.recipe import make_step
from segkit.running.recipe_record import name_of, to_toml
from segkit.running.session import Session
from segkit.running.walk import Outcome
from segkit.values.files import write_file
from segkit.values.intact import is_intact
from segkit.values.types import Prompts

NO_EXAMPLE = -1
"""In place of an image's index, where there are example pictures or none are to be made."""

PICTURE = 200
"""Height of the panels of example pictures."""

FILES = ("robustness.toml", "robustness.json", "robustness.csv")
"""What stands beside the recipes' folders."""


def examine_plans(
    plans: Mapping[str, Plan],
    directory: Path,
    options: RunOptions | None = None,
    shown: Shown | None = None,
    *,
    perturbations: Sequence[Perturbation],
    levels: int = 4,
) -> Robustness:
    """Run the plans on their data set, undamaged and damaged, and say what each one bears.

    `shown.sort_by` is the figure of the curves (left out: iou; without truth the agreement with
    level 0). DIR/recipes/NAME is each plan's folder as `run`
    makes it, of level 0; its results.jsonl has what came of the damaged images under `robustness`.
    DIR/robustness.toml holds what was asked for, DIR/robustness.json and .csv the result, and
    DIR/examples the first image under every damage, where overlays are written. `resume` goes on
    with the images that are not finished.

    Raises `UsageError` as `run` does, and for perturbations that come twice; `PlanError` where
    they damage prompts alone and no plan has any.
    """
    options, shown = options or RunOptions(), shown or Shown()
    with owned(directory):
        return _examine(plans, directory, options, shown, perturbations, levels)


def _examine(
    plans: Mapping[str, Plan],
    directory: Path,
    options: RunOptions,
    shown: Shown,
    perturbations: Sequence[Perturbation],
    levels: int,
) -> Robustness:
    on_images, on_prompts = _sorted(perturbations, plans)
    plans, shown = resumed(plans, directory, options, shown)
    left_out = [
        {"recipe": name, "reason": f"it has no prompts that {step.name} could damage"}
        for name, plan in plans.items()
        if not plan.prompters
        for step in on_prompts
    ]
    job = DamageJob(plans, directory, on_images, on_prompts, levels, options)
    Session(job, options).run()
    robustness = make_robustness(
        job.results(),
        plans,
        perturbations,
        levels,
        figure=shown.sort_by,
        seed=options.seed,
        skipped=[*shown.skipped, *left_out],
        catalog=options.catalog,
    )
    try:
        write_file(directory / "robustness.json", robustness.text())
        write_file(directory / "robustness.csv", robustness.to_csv())
    except OSError as error:
        raise disk_error(error, directory, robustness.images) from error
    return robustness


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


class DamageJob(Job):
    """Each image as it is, then under every damage: all of it in one line a recipe."""

    needs = "robustness"

    def __init__(
        self,
        plans: Mapping[str, Plan],
        directory: Path,
        on_images: Sequence[Perturbation],
        on_prompts: Sequence[Perturbation],
        levels: int,
        options: RunOptions,
    ) -> None:
        super().__init__(plans, directory, nested=True, files=FILES)
        self.on_images = on_images
        self.perturbations = (*on_images, *on_prompts)
        self.levels = levels
        self.seed = options.seed
        self.catalog = options.catalog or Catalog()
        self.asked = {
            "\0".join((name, step.name, str(level))): (name, step, level)
            for name, plan in plans.items()
            for step in (on_prompts if plan.prompters else ())
            for level in range(1, levels + 1)
        }
        """Branch with damaged prompts to its recipe, perturbation and level."""
        own = Counter(recipe for recipe, _, _ in self.asked.values())
        self.expected = {name: len(on_images) * levels + own[name] for name in plans}
        """How many damaged results an image has, for each recipe."""
        steps = [
            {"name": s.name, **s.model_dump(mode="json", exclude_none=True)}
            for s in self.perturbations
        ]
        self.text = to_toml({"robustness": {"levels": levels}, "perturbation": steps})
        self.unfinished: dict[tuple[str, int], _Image] = {}
        self.example: int | None = None
        """The image of the example pictures, once it is known."""
        self._places: Sequence[Place] = ()
        self._skip: dict[str, set[str]] = {}

    @property
    def _pictured(self) -> bool:
        """Whether example pictures are asked for: where the first recipe writes overlays."""
        return any(w.name == PICTURE_WRITER for w in next(iter(self.plans.values())).writers)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The perturbations of images are opened too; those of prompts are in the graph."""
        return (*super().steps, *self.on_images)

    def branches(self, graph: Graph) -> dict[str, Branch]:
        """The plans, and each of them with damaged prompts."""
        return super().branches(graph) | {
            branch: graph.branch(self.plans[name], damage=(step, level))
            for branch, (name, step, level) in self.asked.items()
        }

    def places(self, names: Sequence[str]) -> tuple[Dataset, Sequence[str]]:
        """Each image with its damaged forms behind it."""
        damaged = Damaged.of(self.dataset, self.on_images, self.levels, self.seed, names)
        self._places = damaged.places
        return damaged, [place.label for place in damaged.places]

    def skip(self, done: Skip) -> Skip:
        """Damaged prompts belong to the undamaged image; all else of an image goes together."""
        self._skip = {
            branch: {
                place.label
                for place in self._places
                if place.name in done[recipe] or (branch in self.asked and place.damage is not None)
            }
            for branch, recipe in [
                *((name, name) for name in self.plans),
                *((branch, name) for branch, (name, _, _) in self.asked.items()),
            ]
        }
        return self._skip

    def check(self, *, resume: bool) -> None:
        """Refuse other perturbations or levels than those of the run to go on with."""
        path = self.directory / "robustness.toml"
        if resume and path.exists() and path.read_bytes() != self.text.encode():
            raise UsageError(
                f"--resume: {self.directory} was run with other perturbations or levels (see its "
                "robustness.toml); ask for the same, or choose another folder"
            )

    def is_intact(self, line: Line) -> bool:
        """Whether the example pictures that were made of the image can be read."""
        several = [line, *line.get("robustness", ())]
        pictures = [one["picture"] for one in several if one.get("picture")]
        return all(is_intact(self.directory / picture) for picture in pictures)

    def start(self, finished: Iterator[Line]) -> None:
        """Say what was asked for; see whether there are pictures of an image that is finished."""
        try:
            write_file(self.directory / "robustness.toml", self.text)
        except OSError as error:
            raise disk_error(error, self.directory, 0) from error
        if any("picture" in entry for line in finished for entry in line.get("robustness", ())):
            self.example = NO_EXAMPLE
        if self._pictured and self.example is None:
            levels = range(1, self.levels + 1)
            damages = [f"{step.name}-{level}" for step in self.perturbations for level in levels]
            note_files(self.directory, *(f"examples/{name}.jpg" for name in ("none-0", *damages)))

    def lines(self, outcomes: Iterator[Outcome], write: Write) -> Iterator[tuple[str, Line]]:
        """Take each outcome to the image and recipe that it belongs to."""
        # Each branch's outcomes come in the order of its places.
        coming = {
            branch: iter([place for place in self._places if place.label not in skipped])
            for branch, skipped in self._skip.items()
        }
        for outcome in outcomes:
            place = next(coming[outcome.recipe])
            recipe, damage, level = self.asked.get(
                outcome.recipe, (outcome.recipe, place.damage, place.level)
            )
            key = recipe, place.image
            if damage is None:
                picture = self._picture(recipe, place, outcome, "none-0")
                self.unfinished[key] = _Image(outcome, picture)
            else:
                entry = self._entry(self.unfinished[key].reference, outcome, damage, level)
                entry |= self._picture(recipe, place, outcome, f"{damage.name}-{level}")
                self.unfinished[key].entries.append(entry)
            if len(self.unfinished[key].entries) == self.expected[recipe]:
                yield recipe, self._line(recipe, place, self.unfinished.pop(key), write)

    def settings(self, options: RunOptions) -> dict[str, Any]:
        """The perturbations by name with their options, and the levels."""
        steps = [
            (name_of(step, options.catalog), step.model_dump(mode="json", exclude_none=True))
            for step in self.perturbations
        ]
        return {"perturbations": steps, "levels": self.levels}

    @classmethod
    def of_settings(
        cls,
        plans: Mapping[str, Plan],
        directory: Path,
        options: RunOptions,
        settings: Mapping[str, Any],
    ) -> DamageJob:
        """The same perturbations, found in this process's catalog."""
        catalog = options.catalog or Catalog()
        steps = [make_step(catalog, "perturbation", *step) for step in settings["perturbations"]]
        damages = [step for step in steps if isinstance(step, Perturbation)]
        return cls(plans, directory, *_sorted(damages, plans), settings["levels"], options)

    def part(self, dataset: Dataset, *, leads: bool) -> DamageJob:
        """With no image begun, and example pictures only where it leads."""
        some = copy.copy(self)
        some.dataset, some.unfinished = dataset, {}
        some.example = None if leads else NO_EXAMPLE
        return some

    def led(self, line: Line | None = None) -> bool:
        """Whether there are example pictures."""
        if line is not None and "picture" in line:
            self.example = NO_EXAMPLE
        return not self._pictured or self.example is not None

    def lost(self, line: Line) -> Line:
        """The line of an image of which no form was looked at."""
        return {**line, "true_iou": None, "robustness": []}

    def _line(self, recipe: str, place: Place, image: _Image, write: Write) -> Line:
        """An image's line, with its level 0 as `run` writes it."""
        outcome = image.reference
        line = write(recipe, outcome, place.name)
        good = line["status"] == "ok"
        # However large the chunks were in which its forms were walked.
        ranks = {step.name: rank for rank, step in enumerate(self.perturbations)}
        image.entries.sort(key=lambda entry: (ranks[entry["perturbation"]], entry["level"]))
        return {
            **line,
            "true_iou": true_iou(outcome) if good else None,
            "robustness": image.entries if good else [],
            **image.picture,
        }

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
        measured = {
            "heatmap_drift": heatmap_drift(before.heatmaps, after.heatmaps),
            "prompt_moved": moved,
            "prompt_moved_share": None if moved is None else moved / math.hypot(*size),
            "mask_lost": mask_lost(before, after),
            "true_iou": true_iou(after),
        }
        entry |= {name: None if v is None else round(v, 6) for name, v in measured.items()}
        return entry | {"counts": {k: v for k, v in after.counts.items() if v}}

    def _picture(self, recipe: str, place: Place, outcome: Outcome, name: str) -> dict[str, Any]:
        """The first recipe's first image as its overlay writer shows it, in DIR/examples."""
        if not self._pictured or recipe != next(iter(self.plans)) or outcome.error is not None:
            return {}
        if self.example is None:
            self.example = place.image
        if place.image != self.example:
            return {}
        writer: Any = make_step(
            self.catalog, "writer", f"{BUNDLED}:{PICTURE_WRITER}", {"height": PICTURE}
        )
        there = {
            name: getattr(outcome, name)
            for name in ("image", "heatmaps", "prompts", "masks", "labels", "truth")
            if getattr(outcome, name) is not None
        }
        iou = true_iou(outcome)
        target = self.directory / "examples" / f"{name}.jpg"
        try:
            target.parent.mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory() as folder, blamed(writer, let=(OSError,)):
                (picture,) = writer.write(
                    Path(folder), scores={} if iou is None else {"iou": iou}, **there
                )
                target.write_bytes(picture.read_bytes())
        except OSError as error:
            raise disk_error(error, self.directory, 0) from error
        return {"picture": target.relative_to(self.directory).as_posix()}


@dataclass
class _Image:
    """One image on its way through all its damages, for one recipe."""

    reference: Outcome
    """Level 0."""
    picture: dict[str, Any]
    entries: list[dict[str, Any]] = field(default_factory=list)
