"""Second looks: ask, segment, judge, select, and ask again where a prompter wants to.

Where a judge takes part, a second look keeps, prompt by prompt, the answer that is judged better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from segkit.plugins.steps import Judge, Segmenter
from segkit.running.calling import Call, Caller, Failure, Task, Values
from segkit.running.graph import Node
from segkit.running.masking import masks_of, segment
from segkit.running.prompting import Asked, Heatmaps, Span, heatmap_for, united
from segkit.running.second_looks import Answers, admitted, look
from segkit.values.types import Masks, Prompts


def refine(caller: Caller, node: Node, tasks: Sequence[Task], needs: Sequence[Values]) -> list[Any]:
    """The answers of each image's last round."""
    return [_rounds(caller, node, t, n) for t, n in zip(tasks, needs, strict=True)]


def _rounds(caller: Caller, node: Node, task: Task, values: Values) -> Answers | Failure:
    """As many rounds as are allowed and asked for, or until one brings nothing better."""
    heatmaps: Heatmaps = values.get("heatmaps", ())
    answer = partial(_answered, caller, node, task, values)
    asked: Asked = values["prompts"]
    best: Answers | None = None
    for left in range(node.rounds - 1, -1, -1):
        now = admitted(caller, node, task, asked, heatmaps, answer)
        if isinstance(now, Failure):
            return now
        before, best = best, now if best is None else better_judged(best, now, task.image.size)
        if best is before or not left:
            break
        again = _asked_again(caller, node, task, best, heatmaps)
        if isinstance(again, Failure):
            return again
        if again is None:
            break
        asked = again
    assert best is not None  # there is at least one round
    return best


def _answered(
    caller: Caller, node: Node, task: Task, values: Values, asked: Asked
) -> Answers | Failure:
    """What segmenter, judge and selector make of the prompts."""
    place = next(i for i, step in enumerate(node.steps) if isinstance(step, Segmenter))
    first = replace(node, steps=node.steps[place : place + 1])
    now = {**values, "prompts": asked}
    masks = candidates = segment(caller, first, [task], [now])[0]
    for step in node.steps[place + 1 :]:
        if isinstance(masks, Failure):
            return masks
        masks = masks_of(caller, node, step, [task], [{**now, "masks": masks}])[0]
        candidates = masks if isinstance(step, Judge) else candidates
    return masks if isinstance(masks, Failure) else Answers(asked, masks, candidates)


def better_judged(before: Answers, after: Answers, size: tuple[int, int]) -> Answers:
    """Prompt by prompt the answer that is judged better, of equals the first.

    `before` itself where nothing is better, `after` itself where nobody has judged. A prompt
    without an answer is the worst, so a second look may ask for more objects than the first.
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
        first, second = span.prompts.items, again.prompts.items
        count = max(len(first), len(second))
        pairs = zip(_qualities(old, count), _qualities(new, count), strict=True)
        gains = [now > then or i >= len(first) for i, (then, now) in enumerate(pairs)]
        better = better or any(gains)
        prompts = tuple((second if gain else first)[i] for i, gain in enumerate(gains))
        spans.append(replace(span, prompts=Prompts(prompts)))
        for parts, then, now in ((masks, old, new), (candidates, old_all, new_all)):
            own = united([_of(then, gains, False), _of(now, gains, True)], size)
            parts.append(own.changed(prompt=own.prompt + start))
        start += count
    if not better:
        return before
    return Answers(Asked(tuple(spans)), united(masks, size), united(candidates, size))


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
    caller: Caller, node: Node, task: Task, answered: Answers, heatmaps: Heatmaps
) -> Asked | Failure | None:
    """Every group's second look at its own prompts and masks; None if all are content."""
    spans, changed = [], False
    for span, answers in answered.asked.answered(answered.masks):
        for prompter in span.prompters:
            if not hasattr(prompter, "refine"):
                continue
            inputs: dict[str, Any] = {"prompts": span.prompts, "masks": answers}
            inputs["look"] = look(caller, node, task, prompter)
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
