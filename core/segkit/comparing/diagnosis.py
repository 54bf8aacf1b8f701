"""Where the IoU was lost: to the selection, the prompt, or the segmenter.

For each image and recipe, 1 − IoU is split into three parts, each signed:

    selection   best candidate − IoU          a better mask was on offer
    prompt      true point − best candidate   a better click would have brought a better mask
    segmenter   1 − true point                even the best click does not bring the true mask

*Best candidate*: every prompt answered by the candidate that serves the IoU best. *True point*: the
same, prompted with the most interior pixel of each true object, chosen with the truth in hand. The
prompt's part is called *saliency* where the brightest pixel of the heatmap misses the object, and
*placement* otherwise. The IoU from the true boxes stands alongside. A part below zero was a gain:
the recipe's prompt did better than the true point.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.comparing.leaderboard import Leaderboard, interval, resamples
from segkit.comparing.sweep import as_before, sweep_plans
from segkit.errors import PlanError
from segkit.plugins.steps import Prompter
from segkit.running.folder import check_free, disk_error, write_text
from segkit.running.ledger import note_files
from segkit.running.owned import read_lines
from segkit.running.plan import Plan
from segkit.running.session import Outcome
from segkit.values.types import BACKGROUND, VOID, Labels, Masks, Prompt, Prompts, Truth

Mask = NDArray[np.bool_]

PARTS = ("selection", "prompt", "segmenter")
"""What 1 − IoU is the sum of."""


class _Oracle(Prompter):
    """Prompts made of the truth: for a diagnosis alone, so no plugin can ask for it."""

    takes = (*Prompter.takes, "truth")  # type: ignore[assignment]  # one more than a plugin's


class TruePoint(_Oracle):
    """The most interior pixel of each true object, farthest from its border and the image's."""

    name = "true-point"

    def __call__(self, truth: Truth | None = None) -> Prompts:
        """One prompt with one point for each object."""
        from scipy.ndimage import distance_transform_edt

        made = []
        for mask in _objects(truth):
            depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
            y, x = np.unravel_index(int(depth.argmax()), mask.shape)
            made.append(Prompt(points=[(int(x), int(y))]))
        return Prompts(tuple(made))


class TrueBox(_Oracle):
    """The tight box of each true object."""

    name = "true-box"

    def __call__(self, truth: Truth | None = None) -> Prompts:
        """One prompt with a box for each object."""
        made = []
        for mask in _objects(truth):
            y, x = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            made.append(Prompt(box=[x[0], y[0], x[-1], y[-1]]))
        return Prompts(tuple(made))


@dataclass(frozen=True)
class Loss:
    """One recipe on one image. `selection + prompt + segmenter = 1 − iou`."""

    name: str
    recipe: str
    iou: float
    best_candidate: float
    true_point: float
    true_box: float
    cause: str
    """What the prompt's part is called: `saliency` or `placement`."""

    @property
    def parts(self) -> dict[str, float]:
        """The three parts, each signed."""
        return {
            "selection": self.best_candidate - self.iou,
            "prompt": self.true_point - self.best_candidate,
            "segmenter": 1 - self.true_point,
        }


@dataclass(frozen=True)
class Diagnosed:
    """One recipe on all images: means, and 95 % intervals of the parts."""

    recipe: str
    images: int
    iou: float
    best_candidate: float
    true_point: float
    true_box: float
    selection: float
    prompt: float
    saliency: float
    """The prompt's part on images whose brightest pixel misses the object, over all images."""
    placement: float
    """The prompt's part on the others, over all images; both add up to `prompt`."""
    segmenter: float
    missed: int
    """On how many images the brightest pixel misses the object."""
    intervals: Mapping[str, tuple[float, float]]

    @property
    def reading(self) -> str:
        """What it means, in two sentences."""
        lost = {
            "the segmenter": self.segmenter,
            "the clicks' placement": self.placement,
            "the saliency": self.saliency,
            "the selection": self.selection,
        }
        order = sorted(lost, key=lambda part: -lost[part])
        shares = [f"{part} ({lost[part]:.3f})" for part in order]
        advice = {
            "the segmenter": f"Even the most interior true point brings {self.true_point:.3f} (the "
            f"true box {self.true_box:.3f}), so a better segmenter would gain most.",
            "the clicks' placement": "The heatmap points at the object, but a click elsewhere on "
            "it would bring a better mask, so another --prompt would gain most.",
            "the saliency": f"On {self.missed} of {self.images} images the heatmap's brightest "
            "pixel misses the object, so another --saliency, layer or model would gain most.",
            "the selection": f"Among the candidates lies a mask of {self.best_candidate:.3f}, so "
            "another --select would gain most.",
        }
        rest = f"{', '.join(shares[:-1])} and {shares[-1]}"
        return (
            f"{self.recipe} reaches an IoU of {self.iou:.3f}; the rest goes to {rest}. "
            f"{advice[order[0]]}"
        )


@dataclass(frozen=True)
class Diagnosis:
    """Every recipe's losses, as means and image by image."""

    recipes: tuple[Diagnosed, ...]
    losses: tuple[Loss, ...]
    """The worst image first."""
    board: Leaderboard

    @property
    def failed(self) -> Mapping[str, Sequence[str]]:
        """Image to the recipes that failed on it."""
        return self.board.failed

    def to_dict(self) -> dict[str, Any]:
        """What diagnosis.json holds."""
        return {
            "images": max((d.images for d in self.recipes), default=0),
            "recipes": [asdict(d) | {"reading": d.reading} for d in self.recipes],
            "rows": [asdict(loss) | loss.parts for loss in self.losses],
        }


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
            oracle.name: oracles.setdefault(made, f"{oracle.name} {len(oracles)}")
            for oracle in (TruePoint(), TrueBox())
            for made in (_with(plan, oracle),)
        }
        for name, plan in plans.items()
    }
    found: dict[tuple[str, str], float] = {}

    def note(outcome: Outcome) -> dict[str, Any] | None:
        if outcome.truth is None or not _objects(outcome.truth):
            return None
        if outcome.recipe not in plans:
            found[outcome.recipe, outcome.name] = _best(outcome)
            return None
        true = {
            kind: found.get((name, outcome.name)) for kind, name in asks[outcome.recipe].items()
        }
        if None in true.values():
            return None
        return {
            "iou": iou_of(foreground(outcome.labels, outcome.masks), outcome.truth),
            "best_candidate": _best(outcome),
            "true_point": true["true-point"],
            "true_box": true["true-box"],
            "cause": "saliency" if _misses(outcome) else "placement",
        }

    companions = {name: plan for plan, name in oracles.items()}
    check_free(directory, ("diagnosis.json",))
    board = sweep_plans(plans, directory, companions=companions, note=note, **how)
    losses = []
    order = [row.recipe for row in board.rows]
    for name in order:
        lines = read_lines(directory / "recipes" / name / "results.jsonl")
        losses += [
            Loss(image, name, **line["notes"])
            for image, line in lines.items()
            if line["status"] == "ok" and line.get("notes")
        ]
    everywhere = set.intersection(
        *({loss.name for loss in losses if loss.recipe == name} for name in order)
    )
    losses = [loss for loss in losses if loss.name in everywhere]
    losses.sort(key=lambda loss: loss.iou)
    made = [_mean(name, [loss for loss in losses if loss.recipe == name]) for name in order]
    diagnosis = Diagnosis(tuple(m for m in made if m is not None), tuple(losses), board)
    try:
        text = json.dumps(diagnosis.to_dict(), indent=2) + "\n"
        note_files(directory, "diagnosis.json")
        write_text(directory / "diagnosis.json", text)
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


def _objects(truth: Truth | None) -> list[Mask]:
    """The masks of the true objects; the whole foreground where they are not told apart."""
    if truth is None:
        return []
    if truth.instances is None:
        found = [_true(truth)]
    else:
        ids = truth.instances
        found = [ids == i for i in np.unique(ids) if i not in (BACKGROUND, VOID)]
    return [mask for mask in found if mask.any()]


def _true(truth: Truth) -> Mask:
    return (truth.labels.ids != BACKGROUND) & (truth.labels.ids != VOID)


def foreground(labels: Labels | None, masks: Masks | None) -> Mask:
    """What the metric iou compares: labels, or the union of all masks."""
    if labels is not None:
        return labels.ids != BACKGROUND
    assert masks is not None  # the plan was checked
    return np.asarray(masks.masks.any(axis=0))


def iou_of(found: Mask, truth: Truth) -> float:
    """As the metric iou has it: foreground of any class, void pixels left out."""
    kept = truth.labels.ids != VOID
    true = _true(truth)
    union = int(np.count_nonzero((found | true) & kept))
    return int(np.count_nonzero(found & true)) / union if union else 1.0


def _best(outcome: Outcome) -> float:
    """The IoU with every prompt answered by the candidate that serves it best.

    Prompt by prompt, from the answer that was chosen (or, where nobody chose, the one with the
    highest score), until no exchange helps; so it is never below the recipe's own.
    """
    candidates, truth = outcome.candidates, outcome.truth
    assert truth is not None
    if candidates is None or not len(candidates):
        empty = np.zeros(truth.labels.ids.shape, bool)
        return iou_of(empty, truth)
    chosen: dict[int, Mask] = {}
    for place in np.argsort(candidates.scores, kind="stable"):
        chosen[int(candidates.prompt[place])] = candidates.masks[place]
    if outcome.masks is not None and len({*outcome.masks.prompt.tolist()}) == len(outcome.masks):
        for prompt, mask in zip(outcome.masks.prompt, outcome.masks.masks, strict=True):
            chosen[int(prompt)] = mask
    best = iou_of(np.any(list(chosen.values()), axis=0), truth)
    better = True
    while better:
        better = False
        for prompt, mask in zip(candidates.prompt.tolist(), candidates.masks, strict=True):
            others = [m for p, m in chosen.items() if p != prompt]
            value = iou_of(np.asarray(np.any([mask, *others], axis=0)), truth)
            if value > best + 1e-12:
                best, better = value, True
                chosen[prompt] = mask
    return best


def _misses(outcome: Outcome) -> bool:
    """Whether the brightest pixel of every heatmap lies off the true objects."""
    assert outcome.truth is not None
    true = _true(outcome.truth)
    return bool(outcome.heatmaps) and not any(
        true.ravel()[int(h.values.argmax())] and h.values.max() > 0 for h in outcome.heatmaps
    )


def _mean(recipe: str, losses: Sequence[Loss]) -> Diagnosed | None:
    """A recipe's means and intervals; None if no image takes part."""
    if not losses:
        return None
    columns = {
        **{key: np.array([getattr(loss, key) for loss in losses]) for key in _FIGURES},
        **{key: np.array([loss.parts[key] for loss in losses]) for key in PARTS},
    }
    missed = np.array([loss.cause == "saliency" for loss in losses])
    columns["saliency"] = columns["prompt"] * missed
    columns["placement"] = columns["prompt"] * ~missed
    weights = resamples(len(losses), 0) / len(losses)
    means = {key: float(values.mean()) for key, values in columns.items()}
    parts = (*PARTS, "saliency", "placement")
    intervals = {key: interval(weights @ columns[key], len(losses)) for key in parts}
    return Diagnosed(recipe, len(losses), **means, missed=int(missed.sum()), intervals=intervals)


_FIGURES = ("iou", "best_candidate", "true_point", "true_box")
