"""Run recipes with the truth in hand: `segkit diagnose`, which says where the IoU was lost.

Beside each recipe two oracles ask its segmenter: the most interior point of each true object, and
its box. What the parts of the loss are, and how they come about, is in `segkit.comparing.losses`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from segkit.comparing.losses import (
    best_candidate_iou,
    foreground,
    heat_misses,
    iou_of,
    make_diagnosis,
    true_objects,
)
from segkit.comparing.records import Diagnosis
from segkit.comparing.sweep import FILES, Shown, compare, resumed
from segkit.comparing.trust import trusted
from segkit.errors import PlanError
from segkit.plugins.contract import has_truth
from segkit.plugins.steps import Prompter
from segkit.running.folder import disk_error
from segkit.running.graph import Branch, Graph
from segkit.running.job import Job, Skip, Write
from segkit.running.ledger import note_files
from segkit.running.lines import Line
from segkit.running.lock import owned
from segkit.running.options import RunOptions
from segkit.running.plan import Plan
from segkit.running.walk import Outcome
from segkit.values.files import write_file
from segkit.values.types import Prompt, Prompts, Truth


class _Oracle(Prompter):
    """Prompts made of the truth: for a diagnosis alone, so no plugin can ask for it."""

    concurrent = True
    takes = (*Prompter.takes, "truth")  # type: ignore[assignment]  # one more than a plugin's


class TruePoint(_Oracle):
    """The most interior pixel of each true object, farthest from its border and the image's."""

    name = "true-point"

    def __call__(self, truth: Truth | None = None) -> Prompts:
        """One prompt with one point for each object."""
        from scipy.ndimage import distance_transform_edt

        prompts = []
        for mask in true_objects(truth):
            depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
            y, x = np.unravel_index(int(depth.argmax()), mask.shape)
            prompts.append(Prompt(points=[(int(x), int(y))]))
        return Prompts(tuple(prompts))


class TrueBox(_Oracle):
    """The tight box of each true object."""

    name = "true-box"

    def __call__(self, truth: Truth | None = None) -> Prompts:
        """One prompt with a box for each object."""
        prompts = []
        for mask in true_objects(truth):
            y, x = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            prompts.append(Prompt(box=[x[0], y[0], x[-1], y[-1]]))
        return Prompts(tuple(prompts))


class DiagnosisJob(Job):
    """A sweep with two more plans beside each: its segmenter asked by the truth.

    Those plans have no folder; what comes of them is kept as `notes` in the line of the image.
    """

    needs = "notes"

    def __init__(self, plans: Mapping[str, Plan], directory: Path) -> None:
        super().__init__(plans, directory, nested=True, files=(*FILES, "diagnosis.json"))
        self._oracles: dict[Plan, str] = {}
        """Plan to its branch's name: recipes with one segmenter share them."""
        self._of = {
            name: {
                oracle.name: self._oracles.setdefault(asked, f"{oracle.name} {len(self._oracles)}")
                for oracle in (TruePoint(), TrueBox())
                for asked in (_with(plan, oracle),)
            }
            for name, plan in plans.items()
        }
        """Recipe to what asks to its branch."""

    def branches(self, graph: Graph) -> dict[str, Branch]:
        """The oracles' first, so that what they reach is known when a recipe's line is made."""
        oracles = {branch: graph.branch(plan, True) for plan, branch in self._oracles.items()}
        return oracles | {name: graph.branch(plan, True) for name, plan in self.plans.items()}

    def skip(self, done: Skip) -> Skip:
        """An oracle has nothing to do for images that every recipe has finished."""
        everywhere = set.intersection(*(set(names) for names in done.values()))
        return {**done, **dict.fromkeys(self._oracles.values(), everywhere)}

    def lines(self, outcomes: Iterator[Outcome], write: Write) -> Iterator[tuple[str, Line]]:
        """Each recipe's line, with what the truth would have brought."""
        reached: dict[tuple[str, str], float] = {}
        for outcome in outcomes:
            useful = outcome.error is None and bool(true_objects(outcome.truth))
            if outcome.recipe in self.plans:
                notes = self._notes(outcome, reached) if useful else None
                yield outcome.recipe, {**write(outcome.recipe, outcome), "notes": notes}
            elif useful:
                reached[outcome.recipe, outcome.name] = best_candidate_iou(outcome)

    def settings(self, options: RunOptions) -> dict[str, Any]:
        """Nothing: the oracles follow from the plans."""
        return {}

    def lost(self, line: Line) -> Line:
        """The line of an image that takes no part."""
        return {**line, "notes": None}

    def _notes(
        self, outcome: Outcome, reached: Mapping[tuple[str, str], float]
    ) -> dict[str, Any] | None:
        """Where one recipe lost its IoU on one image; None if an oracle failed there."""
        assert outcome.truth is not None  # there is an object in it
        of = self._of[outcome.recipe]
        true = {kind: reached.get((branch, outcome.name)) for kind, branch in of.items()}
        if None in true.values():
            return None
        return {
            "iou": iou_of(foreground(outcome.labels, outcome.masks), outcome.truth),
            "best_candidate": best_candidate_iou(outcome),
            "true_point": true["true-point"],
            "true_box": true["true-box"],
            "cause": "saliency" if heat_misses(outcome) else "placement",
            **{name: value for name, value in trusted(outcome).items() if value is not None},
        }


def diagnose_plans(
    plans: Mapping[str, Plan],
    directory: Path,
    options: RunOptions | None = None,
    shown: Shown | None = None,
) -> Diagnosis:
    """Run the plans as `sweep_plans` does, and say where each loses its IoU.

    DIR/diagnosis.json holds it, beside what a sweep leaves. Images without a true object take no
    part, and neither do those that not all plans have finished. Plans whose masks answer no prompts
    or are not the result are left out and named. Raises `PlanError` for a data set without truth,
    and if no plan is left.
    """
    options, shown = options or RunOptions(), shown or Shown()
    plans, left_out = _suitable(plans)
    shown = replace(shown, skipped=[*shown.skipped, *left_out])
    with owned(directory):
        return _diagnose(plans, directory, options, shown)


def _diagnose(
    plans: Mapping[str, Plan], directory: Path, options: RunOptions, shown: Shown
) -> Diagnosis:
    plans, shown = resumed(plans, directory, options, shown)
    job = DiagnosisJob(plans, directory)
    board = compare(job, options, shown)
    results = job.results()
    best_first = {row.recipe: results[row.recipe] for row in board.rows}
    diagnosis = make_diagnosis(best_first, board.failed)
    try:
        note_files(directory, "diagnosis.json")
        write_file(directory / "diagnosis.json", diagnosis.text())
    except OSError as error:
        raise disk_error(error, directory, board.images) from error
    return diagnosis


def _suitable(plans: Mapping[str, Plan]) -> tuple[dict[str, Plan], list[dict[str, str]]]:
    """The plans that can be taken apart like this, and why the others cannot."""
    kept, left_out = {}, []
    for name, plan in plans.items():
        if not has_truth(plan.dataset):
            raise PlanError(
                f"a diagnosis needs truth, and the data set {plan.dataset.name} has none; choose "
                "one with truth, or name its masks"
            )
        asks = plan.segmenter is not None and "prompts" in type(plan.segmenter).inputs().all
        if asks and plan.prompters and plan.labeller is None:
            kept[name] = plan
            continue
        reason = (
            f"{name} cannot be diagnosed: its result should be masks that a segmenter made of "
            f"prompts, but it is {plan.words}; choose a --prompt, and a --segmenter such as sam"
        )
        left_out.append({"recipe": name, "reason": reason})
    if not kept:
        raise PlanError(left_out[0]["reason"])
    return kept, left_out


def _with(plan: Plan, oracle: Prompter) -> Plan:
    """The plan's segmenter, asked by an oracle."""
    assert plan.segmenter is not None
    heat = "heatmap" in type(plan.segmenter).inputs().all
    return replace(
        plan,
        saliencies=plan.saliencies if heat else (),
        transforms=plan.transforms if heat else (),
        prompters=((oracle,),),
        judge=None,
        least_quality=0.0,
        selector=None,
        fuser=None,
        others=(),
        metrics=(),
        writers=(),
        rounds=1,
    )
