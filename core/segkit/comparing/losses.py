"""Where 1 − IoU went on one image and on all: the sums of a diagnosis, without running anything.

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

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from segkit.comparing.records import Diagnosis, ImageLosses, RecipeLosses
from segkit.comparing.statistics import interval, resamples
from segkit.comparing.trust import recipe_trust
from segkit.running.records import Lines, LossNotes
from segkit.running.walk import Outcome
from segkit.values.types import BACKGROUND, VOID, Labels, Masks, Truth

Mask = NDArray[np.bool_]

FIGURES = ("iou", "best_candidate", "true_point", "true_box")
"""What is measured of each image; the parts are differences of these."""

PARTS = ("selection", "prompt", "segmenter")
"""What 1 − IoU is the sum of."""


# ---- masks ------------------------------------------------------------------------------------


def true_foreground(truth: Truth) -> Mask:
    """(H, W) bool: the pixels of any class, void left out."""
    return (truth.labels.ids != BACKGROUND) & (truth.labels.ids != VOID)


def true_objects(truth: Truth | None) -> list[Mask]:
    """The masks of the true objects; the whole foreground where they are not told apart."""
    if truth is None:
        return []
    if truth.instances is None:
        objects = [true_foreground(truth)]
    else:
        ids = truth.instances
        objects = [ids == i for i in np.unique(ids) if i not in (BACKGROUND, VOID)]
    return [mask for mask in objects if mask.any()]


def foreground(labels: Labels | None, masks: Masks | None) -> Mask:
    """What the metric iou compares: labels, or the union of all masks."""
    if labels is not None:
        return labels.ids != BACKGROUND
    assert masks is not None  # the plan was checked
    return masks.covered()


def iou_of(mask: Mask, truth: Truth) -> float:
    """As the metric iou has it: foreground of any class, void pixels left out."""
    kept = truth.labels.ids != VOID
    true = true_foreground(truth)
    union = int(np.count_nonzero((mask | true) & kept))
    return int(np.count_nonzero(mask & true)) / union if union else 1.0


def best_candidate_iou(outcome: Outcome) -> float:
    """The IoU with every prompt answered by the candidate that serves it best.

    Prompt by prompt, from the answer that was chosen (or, where nobody chose, the one with the
    highest score), until no exchange helps; so it is never below the recipe's own.
    """
    candidates, masks, truth = outcome.candidates, outcome.masks, outcome.truth
    assert truth is not None
    if candidates is None or not len(candidates):
        return iou_of(np.zeros(truth.labels.ids.shape, bool), truth)
    chosen: dict[int, Mask] = {}
    for place in np.argsort(candidates.scores, kind="stable"):
        chosen[int(candidates.prompt[place])] = candidates.masks[place]
    if masks is not None and len({*masks.prompt.tolist()}) == len(masks):
        for prompt, mask in zip(masks.prompt, masks.masks, strict=True):
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


def heat_misses(outcome: Outcome) -> bool:
    """Whether the brightest pixel of every heatmap lies off the true objects."""
    assert outcome.truth is not None
    true = true_foreground(outcome.truth)
    return bool(outcome.heatmaps) and not any(
        true.ravel()[int(h.values.argmax())] and h.values.max() > 0 for h in outcome.heatmaps
    )


# ---- losses -----------------------------------------------------------------------------------


def make_diagnosis(results: Mapping[str, Lines], failed: Mapping[str, Sequence[str]]) -> Diagnosis:
    """The losses of each recipe, in the order of `results`, from what was noted in its lines.

    Only images that take part for every recipe count. `failed` is kept beside them.
    """
    losses = [
        _image_losses(image, recipe, line.notes)
        for recipe, lines in results.items()
        for image, line in lines.items()
        if line.ok and line.notes is not None
    ]
    everywhere = set.intersection(
        *({loss.name for loss in losses if loss.recipe == recipe} for recipe in results)
    )
    losses = sorted((loss for loss in losses if loss.name in everywhere), key=lambda loss: loss.iou)
    recipes = tuple(
        _recipe_losses(recipe, own)
        for recipe in results
        if (own := [loss for loss in losses if loss.recipe == recipe])
    )
    trust = tuple(
        recipe_trust(recipe, [note for name in sorted(everywhere) if (note := lines[name].notes)])
        for recipe, lines in results.items()
        if everywhere
    )
    return Diagnosis(
        trust=trust,
        images=max((recipe.images for recipe in recipes), default=0),
        recipes=recipes,
        rows=tuple(losses),
        failed=failed,
    )


def _image_losses(image: str, recipe: str, notes: LossNotes) -> ImageLosses:
    """One image's parts, from the figures that were noted of it."""
    return ImageLosses(
        name=image,
        recipe=recipe,
        iou=notes.iou,
        best_candidate=notes.best_candidate,
        true_point=notes.true_point,
        true_box=notes.true_box,
        cause=notes.cause,
        selection=notes.best_candidate - notes.iou,
        prompt=notes.true_point - notes.best_candidate,
        segmenter=1 - notes.true_point,
    )


def _recipe_losses(recipe: str, losses: Sequence[ImageLosses]) -> RecipeLosses:
    """A recipe's means and intervals."""
    columns = {
        name: np.array([getattr(loss, name) for loss in losses]) for name in (*FIGURES, *PARTS)
    }
    missed = np.array([loss.cause == "saliency" for loss in losses])
    columns["saliency"] = columns["prompt"] * missed
    columns["placement"] = columns["prompt"] * ~missed
    means = {name: float(values.mean()) for name, values in columns.items()}
    weights = resamples(len(losses), 0) / len(losses)
    parts = (*PARTS, "saliency", "placement")
    means_alone = RecipeLosses(
        recipe=recipe,
        images=len(losses),
        missed=int(missed.sum()),
        intervals={part: interval(weights @ columns[part], len(losses)) for part in parts},
        **means,
    )
    return means_alone.model_copy(update={"reading": _reading(means_alone)})


def _reading(recipe: RecipeLosses) -> str:
    """What it means, in two sentences."""
    lost = {
        "the segmenter": recipe.segmenter,
        "the clicks' placement": recipe.placement,
        "the saliency": recipe.saliency,
        "the selection": recipe.selection,
    }
    order = sorted(lost, key=lambda part: -lost[part])
    shares = [f"{part} ({lost[part]:.3f})" for part in order]
    advice = {
        "the segmenter": f"Even the most interior true point brings {recipe.true_point:.3f} (the "
        f"true box {recipe.true_box:.3f}), so a better segmenter would gain most.",
        "the clicks' placement": "The heatmap points at the object, but a click elsewhere on "
        "it would bring a better mask, so another --prompt would gain most.",
        "the saliency": f"On {recipe.missed} of {recipe.images} images the heatmap's brightest "
        "pixel misses the object, so another --saliency, layer or model would gain most.",
        "the selection": f"Among the candidates lies a mask of {recipe.best_candidate:.3f}, so "
        "another --select would gain most.",
    }
    rest = f"{', '.join(shares[:-1])} and {shares[-1]}"
    return (
        f"{recipe.recipe} reaches an IoU of {recipe.iou:.3f}; the rest goes to {rest}. "
        f"{advice[order[0]]}"
    )
