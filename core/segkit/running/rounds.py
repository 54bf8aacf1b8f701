"""Second looks: ask, segment, judge, select, and ask again where a prompter wants to.

Where a judge takes part, a second look keeps, prompt by prompt, the answer that is judged better.
A judge may go by how far candidates agree, so those of both rounds are judged together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
    return [_Loop(caller, node, t, n).answers() for t, n in zip(tasks, needs, strict=True)]


@dataclass(frozen=True)
class _Loop:
    """The rounds of one image."""

    caller: Caller
    node: Node
    task: Task
    values: Values

    def answers(self) -> Answers | Failure:
        """As many rounds as are allowed and asked for, or until one brings nothing better."""
        asked: Asked = self.values["prompts"]
        best: Answers | None = None
        for left in range(self.node.rounds - 1, -1, -1):
            now = admitted(self.caller, self.node, self.task, asked, self.heatmaps, self.answered)
            if isinstance(now, Failure):
                return now
            if best is not None:
                both = self.judged_together(best, now)
                if isinstance(both, Failure):
                    return both
                now = better_judged(*both, self.task.image.size)
                if now is both[0]:
                    break
            best = now
            if not left:
                break
            again = self.asked_again(best)
            if isinstance(again, Failure):
                return again
            if again is None:
                break
            asked = again
        assert best is not None  # there is at least one round
        return best

    @property
    def heatmaps(self) -> Heatmaps:
        """The image's; none where nobody makes any."""
        heatmaps: Heatmaps = self.values.get("heatmaps", ())
        return heatmaps

    @property
    def segmenter(self) -> Segmenter:
        """The one that is asked."""
        return next(step for step in self.node.steps if isinstance(step, Segmenter))

    @property
    def judges(self) -> list[Step]:
        """The judge, or nobody."""
        return [step for step in self.node.steps if isinstance(step, Judge)]

    @property
    def choosers(self) -> list[Step]:
        """What makes masks of candidates, the judge left out."""
        behind = self.node.steps[self.node.steps.index(self.segmenter) + 1 :]
        return [step for step in behind if not isinstance(step, Judge)]

    def answered(self, asked: Asked) -> Answers | Failure:
        """What segmenter, judge and selector make of the prompts."""
        candidates = self.candidates(asked)
        return candidates if isinstance(candidates, Failure) else self.chosen(asked, candidates)

    def candidates(self, asked: Asked) -> Masks | Failure:
        """The segmenter's masks for the prompts, judged where there is a judge."""
        alone = replace(self.node, steps=(self.segmenter,))
        masks = segment(self.caller, alone, [self.task], [{**self.values, "prompts": asked}])[0]
        return self.made(self.judges, asked, masks)

    def chosen(self, asked: Asked, candidates: Masks) -> Answers | Failure:
        """What the selector leaves of the candidates."""
        masks = self.made(self.choosers, asked, candidates)
        return masks if isinstance(masks, Failure) else Answers(asked, masks, candidates)

    def made(self, steps: Sequence[Step], asked: Asked, masks: Masks | Failure) -> Masks | Failure:
        """What the steps make of masks, one after another; a failure stays what it is."""
        for step in steps:
            if isinstance(masks, Failure):
                break
            values = {**self.values, "prompts": asked, "masks": masks}
            masks = masks_of(self.caller, self.node, step, [self.task], [values])[0]
        return masks

    def judged_together(self, before: Answers, after: Answers) -> tuple[Answers, Answers] | Failure:
        """Two rounds' answers, chosen of candidates that are judged as if one round had made them.

        As they are where nobody judges, or where the segmenter reads no prompts.
        """
        if not self.judges or "prompts" not in type(self.segmenter).inputs().all:
            return before, after
        start = len(before.asked.prompts)
        later = after.candidates.changed(prompt=after.candidates.prompt + start)
        asked = Asked((*before.asked.spans, *after.asked.spans))
        both = united([before.candidates, later], self.task.image.size)
        judged = self.made(self.judges, asked, both)
        if isinstance(judged, Failure):
            return judged
        is_later = judged.prompt >= start
        new = judged.take(np.flatnonzero(is_later))
        first = self.chosen(before.asked, judged.take(np.flatnonzero(~is_later)))
        second = self.chosen(after.asked, new.changed(prompt=new.prompt - start))
        if isinstance(first, Failure):
            return first
        return second if isinstance(second, Failure) else (first, second)

    def asked_again(self, answered: Answers) -> Asked | Failure | None:
        """Every group's second look at its own prompts and masks; None if all are content."""
        spans, changed = [], False
        for span, answers in answered.asked.answered(answered.masks):
            for prompter in span.prompters:
                if not hasattr(prompter, "refine"):
                    continue
                inputs: dict[str, Any] = {"prompts": span.prompts, "masks": answers}
                inputs["look"] = look(self.caller, self.node, self.task, prompter)
                inputs["ask"] = partial(self.further_candidates, span, prompter)
                if self.heatmaps:
                    inputs["heatmap"] = heatmap_for(self.heatmaps, span.heatmap)
                call = Call(self.task, inputs)
                prompts = self.caller.call(self.node, prompter, [call], method="refine")[0]
                if isinstance(prompts, Failure):
                    return prompts
                if prompts is not None:
                    if span.heatmap is not None:
                        heatmap = self.heatmaps[span.heatmap]
                        prompts = prompts.named(heatmap.name, heatmap.score)
                    span, changed = replace(span, prompts=prompts), True
            spans.append(span)
        return Asked(tuple(spans)) if changed else None

    def further_candidates(self, span: Span, asker: Step, prompts: Prompts) -> Masks:
        """What `refine` of `asker` calls to put prompts about a span's heatmap to the segmenter.

        Raises `BadValueError` for what is no prompts, `SegkitError` where segmenter or judge fails.
        """
        if not isinstance(prompts, Prompts):
            raise BadValueError(
                f"{named(asker)} should ask with Prompts, but asks with {prompts!r}"
            )
        masks = self.candidates(Asked((replace(span, prompts=prompts),)))
        if isinstance(masks, Failure):
            raise SegkitError(masks.error)
        return masks


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
