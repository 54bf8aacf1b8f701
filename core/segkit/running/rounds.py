"""Second looks: ask, segment, judge, select, and ask again where a prompter wants to.

Where a judge takes part, a second look keeps, prompt by prompt, the answer that is judged better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from segkit.plugins.steps import Judge, Segmenter
from segkit.running.calling import Call, Caller, Failure, Task, Values
from segkit.running.graph import Node
from segkit.running.masking import masks_of, segment
from segkit.running.prompting import Asked, Heatmaps, Span, heatmap_for, united
from segkit.values.types import Masks, Prompts


class Round(NamedTuple):
    """What a round of segmentation came to."""

    asked: Asked
    masks: Masks
    """The chosen ones."""
    candidates: Masks


def refine(caller: Caller, node: Node, tasks: Sequence[Task], needs: Sequence[Values]) -> list[Any]:
    """The last `Round` of each image."""
    return [_rounds(caller, node, t, n) for t, n in zip(tasks, needs, strict=True)]


def _rounds(caller: Caller, node: Node, task: Task, values: Values) -> Round | Failure:
    """As many rounds as are allowed and asked for, or until one brings nothing better."""
    asked: Asked | Failure | None = values["prompts"]
    best: Round | None = None
    for left in range(node.rounds - 1, -1, -1):
        now = _answered(caller, node, task, {**values, "prompts": asked})
        if isinstance(now, Failure):
            return now
        before, best = best, now if best is None else better_judged(best, now, task.image.size)
        if best is before or not left:
            break
        asked = _asked_again(caller, node, task, best, values.get("heatmaps", ()))
        if isinstance(asked, Failure):
            return asked
        if asked is None:
            break
    assert best is not None  # there is at least one round
    return best


def _answered(caller: Caller, node: Node, task: Task, values: Values) -> Round | Failure:
    """What segmenter, judge and selector make of the prompts."""
    place = next(i for i, step in enumerate(node.steps) if isinstance(step, Segmenter))
    first = replace(node, steps=node.steps[place : place + 1])
    masks = candidates = segment(caller, first, [task], [values])[0]
    for step in node.steps[place + 1 :]:
        if isinstance(masks, Failure):
            return masks
        masks = masks_of(caller, node, step, [task], [{**values, "masks": masks}])[0]
        candidates = masks if isinstance(step, Judge) else candidates
    return masks if isinstance(masks, Failure) else Round(values["prompts"], masks, candidates)


def better_judged(before: Round, after: Round, size: tuple[int, int]) -> Round:
    """Prompt by prompt the answer that is judged better, of equals the first.

    `before` itself where nothing is better, `after` itself where nobody has judged. A group that
    asks for another number of objects than before is compared as a whole, by its mean.
    """
    if before.masks.quality is None or after.masks.quality is None:
        return after
    spans: list[Span] = []
    masks: list[Masks] = []
    candidates: list[Masks] = []
    start, better = 0, False
    for (span, old), (_, old_all), (again, new), (_, new_all) in zip(
        before.asked.answered(before.masks),
        before.asked.answered(before.candidates),
        after.asked.answered(after.masks),
        after.asked.answered(after.candidates),
        strict=True,
    ):
        gains = _gains(span.prompts, old, again.prompts, new)
        better = better or any(gains)
        pairs = enumerate(zip(span.prompts, again.prompts, gains, strict=False))
        prompts = {place: now if gain else then for place, (then, now, gain) in pairs}
        if len(span.prompts) != len(again.prompts):
            prompts = dict(enumerate((again if all(gains) else span).prompts))
        spans.append(replace(span, prompts=Prompts(tuple(prompts.values()))))
        for parts, then, now in ((masks, old, new), (candidates, old_all, new_all)):
            own = united([_of(then, gains, False), _of(now, gains, True)], size)
            parts.append(replace(own, prompt=own.prompt + start))
        start += len(prompts)
    if not better:
        return before
    return Round(Asked(tuple(spans)), united(masks, size), united(candidates, size))


def _gains(prompts: Prompts, old: Masks, again: Prompts, new: Masks) -> list[bool]:
    """For each place whether the new answer there is judged better; no answer is the worst."""
    before, after = _qualities(old, len(prompts)), _qualities(new, len(again))
    if len(prompts) == len(again):
        return [now > then for then, now in zip(before, after, strict=True)]
    better = bool(np.mean(after or [-1.0]) > np.mean(before or [-1.0]))
    return [better] * max(len(prompts), len(again))


def _qualities(masks: Masks, count: int) -> list[float]:
    """The quality of each prompt's best mask; -1 for a prompt without one."""
    best = np.full(count, -1.0)
    if masks.quality is not None:
        np.maximum.at(best, masks.prompt, masks.quality)
    return [float(quality) for quality in best]


def _of(masks: Masks, gains: Sequence[bool], gain: bool) -> Masks:
    """The masks of the prompts with a gain, or without."""
    return masks.take([i for i, place in enumerate(masks.prompt) if gains[place] is gain])


def _asked_again(
    caller: Caller, node: Node, task: Task, answered: Round, heatmaps: Heatmaps
) -> Asked | Failure | None:
    """Every group's second look at its own prompts and masks; None if all are content."""
    spans, changed = [], False
    for span, answers in answered.asked.answered(answered.masks):
        for prompter in span.prompters:
            if not hasattr(prompter, "refine"):
                continue
            inputs: dict[str, Any] = {"prompts": span.prompts, "masks": answers}
            if heatmaps:
                inputs["heatmap"] = heatmap_for(heatmaps, span.heatmap)
            prompts = caller.call(node, prompter, [Call(task, inputs)], method="refine")[0]
            if isinstance(prompts, Failure):
                return prompts
            if prompts is not None:
                if span.heatmap is not None:
                    heatmap = heatmaps[span.heatmap]
                    prompts = prompts.named(heatmap.name, heatmap.score)
                span, changed = replace(span, prompts=prompts), True
        spans.append(span)
    return Asked(tuple(spans)) if changed else None
