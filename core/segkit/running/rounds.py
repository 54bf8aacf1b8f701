"""Second looks: ask, segment, judge, select, and ask again where a prompter wants to.

Where a judge takes part, a second look keeps, prompt by prompt, the answer that is judged better.
A judge may go by how far candidates agree, so those of both rounds are judged together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from segkit.errors import BadValueError, SegkitError
from segkit.plugins.contract import named
from segkit.plugins.steps import Judge, Segmenter, Step
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
        if best is not None:
            both = _judged_together(caller, node, task, values, best, now)
            if isinstance(both, Failure):
                return both
            now = better_judged(*both, task.image.size)
            if now is both[0]:
                break
        best = now
        if not left:
            break
        again = _asked_again(caller, node, task, values, best)
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
    candidates = _candidates(caller, node, task, values, asked)
    return _selected(caller, node, task, values, asked, candidates)


def _candidates(
    caller: Caller, node: Node, task: Task, values: Values, asked: Asked
) -> Masks | Failure:
    """The segmenter's masks for the prompts, judged where there is a judge."""
    segmenter, after = _behind_prompters(node)
    first = replace(node, steps=(segmenter,))
    now = {**values, "prompts": asked}
    masks: Masks | Failure = segment(caller, first, [task], [now])[0]
    judges = [step for step in after if isinstance(step, Judge)]
    return _made(caller, node, task, now, judges, masks)


def _selected(
    caller: Caller,
    node: Node,
    task: Task,
    values: Values,
    asked: Asked,
    candidates: Masks | Failure,
) -> Answers | Failure:
    """What the steps behind the judge choose of the candidates."""
    others = [step for step in _behind_prompters(node)[1] if not isinstance(step, Judge)]
    masks = _made(caller, node, task, {**values, "prompts": asked}, others, candidates)
    if isinstance(candidates, Failure) or isinstance(masks, Failure):
        return candidates if isinstance(candidates, Failure) else masks
    return Answers(asked, masks, candidates)


def _behind_prompters(node: Node) -> tuple[Segmenter, tuple[Step, ...]]:
    """The segmenter, and what makes masks of its masks."""
    place = next(i for i, step in enumerate(node.steps) if isinstance(step, Segmenter))
    segmenter = node.steps[place]
    assert isinstance(segmenter, Segmenter)
    return segmenter, node.steps[place + 1 :]


def _made(
    caller: Caller,
    node: Node,
    task: Task,
    values: Values,
    steps: Sequence[Step],
    masks: Masks | Failure,
) -> Masks | Failure:
    """What the steps make of masks, one after another; a failure stays what it is."""
    for step in steps:
        if isinstance(masks, Failure):
            break
        masks = masks_of(caller, node, step, [task], [{**values, "masks": masks}])[0]
    return masks


def _judged_together(
    caller: Caller, node: Node, task: Task, values: Values, before: Answers, after: Answers
) -> tuple[Answers, Answers] | Failure:
    """Two rounds' answers, chosen from candidates that are judged as if one round had made them.

    As they are where nobody judges, or where the segmenter reads no prompts.
    """
    segmenter, steps = _behind_prompters(node)
    judges = [step for step in steps if isinstance(step, Judge)]
    if not judges or "prompts" not in type(segmenter).inputs().all:
        return before, after
    asked = Asked((*before.asked.spans, *after.asked.spans))
    start = len(before.asked.prompts)
    later = replace(after.candidates, prompt=after.candidates.prompt + start)
    both = united([before.candidates, later], task.image.size)
    judged = _made(caller, node, task, {**values, "prompts": asked}, judges, both)
    if isinstance(judged, Failure):
        return judged
    old = judged.take(np.flatnonzero(judged.prompt < start))
    new = judged.take(np.flatnonzero(judged.prompt >= start))
    new = replace(new, prompt=new.prompt - start)
    first = _selected(caller, node, task, values, before.asked, old)
    second = _selected(caller, node, task, values, after.asked, new)
    if isinstance(first, Failure) or isinstance(second, Failure):
        return first if isinstance(first, Failure) else second
    return first, second


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
            parts.append(replace(own, prompt=own.prompt + start))
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
    caller: Caller, node: Node, task: Task, values: Values, answered: Answers
) -> Asked | Failure | None:
    """Every group's second look at its own prompts and masks; None if all are content."""
    heatmaps: Heatmaps = values.get("heatmaps", ())
    spans, changed = [], False
    for span, answers in answered.asked.answered(answered.masks):
        for prompter in span.prompters:
            if not hasattr(prompter, "refine"):
                continue
            inputs: dict[str, Any] = {"prompts": span.prompts, "masks": answers}
            inputs["look"] = look(caller, node, task, prompter)
            inputs["ask"] = _ask(caller, node, task, values, span, prompter)
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


def _ask(
    caller: Caller, node: Node, task: Task, values: Values, span: Span, asker: Step
) -> Callable[[Prompts], Masks]:
    """What `refine` of `asker` calls to put further prompts about its heatmap to the segmenter.

    Raises `BadValueError` for what is no prompts, `SegkitError` where segmenter or judge fails.
    """

    def ask(prompts: Prompts) -> Masks:
        if not isinstance(prompts, Prompts):
            raise BadValueError(
                f"{named(asker)} should ask with Prompts, but asks with {prompts!r}"
            )
        asked = Asked((replace(span, prompts=prompts),))
        masks = _candidates(caller, node, task, values, asked)
        if isinstance(masks, Failure):
            raise SegkitError(masks.error)
        return masks

    return ask
