"""Run recipes with the truth in hand: `segkit diagnose`, which says where the IoU was lost.

Beside each recipe two oracles ask its segmenter: the most interior point of each true object, and
its box. What the parts of the loss are, and how they come about, is in `segkit.comparing.losses`.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from segkit.comparing.sweep import as_before, sweep_plans
from segkit.errors import PlanError
from segkit.plugins.steps import Prompter
from segkit.running.folder import disk_error, read_lines, write_text
from segkit.running.plan import Plan
from segkit.running.session import Outcome
from segkit.values.types import Prompt, Prompts, Truth


class _Oracle(Prompter):
    """Prompts made of the truth: for a diagnosis alone, so no plugin can ask for it."""

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


def diagnose_plans(plans: Mapping[str, Plan], directory: Path, **how: Any) -> Diagnosis:
    """Run the plans as `sweep_plans` does, which takes `how`, and say where each loses its IoU.

    DIR/diagnosis.json holds it, beside what a sweep leaves. Images without a true object take no
    part, and neither do those that not all plans have finished. Plans whose masks answer no prompts
    or are not the result are left out and named. Raises `PlanError` for a data set without truth,
    and if no plan is left.
    """
    plans, left_out = _suitable(plans)
    if how.get("resume"):
        same = {key: how[key] for key in ("seed", "classes", "catalog") if key in how}
        names = as_before(plans, directory, **same)
        plans = {names[name]: plan for name, plan in plans.items()}
        how["options"] = {names[n]: o for n, o in (how.get("options") or {}).items() if n in names}
    how["skipped"] = [*how.get("skipped", ()), *left_out]
    oracles: dict[Plan, str] = {}
    asks = {
        name: {
            oracle.name: oracles.setdefault(_with(plan, oracle), f"{oracle.name} {len(oracles)}")
            for oracle in (TruePoint(), TrueBox())
        }
        for name, plan in plans.items()
    }
    oracle_iou: dict[tuple[str, str], float] = {}

    def note(outcome: Outcome) -> dict[str, Any] | None:
        truth = outcome.truth
        if truth is None or not true_objects(truth):
            return None
        best = best_candidate_iou(outcome.candidates, outcome.masks, truth)
        if outcome.recipe not in plans:
            oracle_iou[outcome.recipe, outcome.name] = best
            return None
        true = {
            kind: oracle_iou.get((name, outcome.name))
            for kind, name in asks[outcome.recipe].items()
        }
        if None in true.values():
            return None
        return {
            "iou": iou_of(foreground(outcome.labels, outcome.masks), truth),
            "best_candidate": best,
            "true_point": true["true-point"],
            "true_box": true["true-box"],
            "cause": "saliency" if heat_misses(outcome.heatmaps, truth) else "placement",
        }

    companions = {name: plan for plan, name in oracles.items()}
    board = sweep_plans(plans, directory, companions=companions, note=note, **how)
    results = {
        row.recipe: read_lines(directory / "recipes" / row.recipe / "results.jsonl")
        for row in board.rows
    }
    diagnosis = make_diagnosis(results, board.failed)
    try:
        write_text(directory / "diagnosis.json", diagnosis.text())
    except OSError as error:
        raise disk_error(error, directory, board.images) from error
    return diagnosis


def _suitable(plans: Mapping[str, Plan]) -> tuple[dict[str, Plan], list[dict[str, str]]]:
    """The plans that can be taken apart like this, and why the others cannot."""
    kept, left_out = {}, []
    for name, plan in plans.items():
        if not plan.dataset.has_truth:
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
        saliency=plan.saliency if heat else None,
        transforms=plan.transforms if heat else (),
        prompters=((oracle,),),
        selector=None,
        fuser=None,
        metrics=(),
        writers=(),
        rounds=1,
    )
