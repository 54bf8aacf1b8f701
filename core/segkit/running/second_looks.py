"""What prompters may do beside asking: look at a changed picture, and judge prompts undecoded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from segkit.errors import BadValueError, SegkitError
from segkit.plugins.contract import named
from segkit.plugins.steps import Prompter, Saliency, Step, Transform
from segkit.running.calling import Call, Caller, Failure, Task
from segkit.running.graph import Node
from segkit.running.prompting import Asked, Heatmaps, Span, heatmap_for, united
from segkit.values.types import Heatmap, Image, Look, Masks, Prompt, Prompts


class Answers(NamedTuple):
    """Prompts, what was chosen of the masks that answer them, and what it was chosen from."""

    asked: Asked
    masks: Masks
    candidates: Masks


def look(caller: Caller, node: Node, task: Task, asker: Step) -> Look:
    """What `refine` of `asker` calls to ask the plan's saliency and transforms again."""
    return partial(_heatmaps_of, caller, node, task, asker)


def _heatmaps_of(
    caller: Caller, node: Node, task: Task, asker: Step, image: Image
) -> tuple[Heatmap, ...]:
    """The heatmaps of a picture in place of the task's, transformed as the first ones were.

    Raises `BadValueError` for another size, `SegkitError` where saliency or a transform fails.
    """
    if not isinstance(image, Image) or image.size != task.image.size:
        height, width = task.image.size
        what = f"{image.size[1]}x{image.size[0]}" if isinstance(image, Image) else repr(image)
        raise BadValueError(
            f"{named(asker)} should look at an Image of {width}x{height} as the run's is, but "
            f"looks at {what}"
        )
    changed = replace(task, image=replace(image, name=task.image.name))  # its name is the seed's

    def work(step: Step, heatmap: Heatmap | None = None, place: int = 0) -> Any:
        inputs = {} if heatmap is None else {"heatmap": heatmap}
        made = caller.call(node, step, [Call(changed, inputs, place)])[0]
        if isinstance(made, Failure):
            raise SegkitError(made.error)
        return made

    heatmaps = [h for s in node.steps if isinstance(s, Saliency) for h in work(s)]
    for step in (s for s in node.steps if isinstance(s, Transform)):
        heatmaps = [work(step, heatmap, place) for place, heatmap in enumerate(heatmaps)]
    return tuple(heatmaps)


# ---- prompts that are judged before they are decoded -------------------------------------------


def judges(span: Span) -> list[Prompter]:
    """The prompters of a span's group that judge its prompts before they are decoded."""
    return [prompter for prompter in span.prompters if hasattr(prompter, "admit")]


def admitted(
    caller: Caller,
    node: Node,
    task: Task,
    asked: Asked,
    heatmaps: Heatmaps,
    answer: Callable[[Asked], Answers | Failure],
) -> Answers | Failure:
    """The answers to all prompts, or to those that are still worth asking where they are judged.

    Prompts of groups without a judge are answered first, in one go; then the others one by one,
    the likeliest first, each if it is admitted in view of the masks that there are by then.
    """
    queue = _Queue.of(asked)
    if not queue.waiting:
        return answer(asked)
    while queue.ready or queue.waiting:
        turn = queue.turn()
        answers = answer(_only(asked, turn))
        if isinstance(answers, Failure):
            return answers
        queue.add(turn, answers)
        masks = united(queue.masks, task.image.size)
        for index, span in enumerate(asked.spans):
            for prompter in judges(span):
                waiting = [i for i in queue.waiting if queue.span_of[i] == index]
                if not waiting or not len(masks):
                    continue
                prompts = Prompts(tuple(queue.prompts[i] for i in waiting))
                inputs: dict[str, Any] = {"prompts": prompts, "masks": masks}
                if heatmaps:
                    inputs["heatmap"] = heatmap_for(heatmaps, span.heatmap)
                kept = caller.call(node, prompter, [Call(task, inputs)], method="admit")[0]
                if isinstance(kept, Failure):
                    return kept
                places = _places(prompter, prompts, kept)
                if isinstance(places, Failure):
                    return places
                queue.drop(set(waiting) - {waiting[place] for place in places})
    return queue.answers(asked, task.image.size)


@dataclass
class _Queue:
    """The prompts of an image by their place among all: those to be answered, and the answers."""

    prompts: Sequence[Prompt]
    span_of: Sequence[int]
    """For each prompt the place of its span."""
    ready: list[int]
    """Those that nobody judges."""
    waiting: list[int]
    """The others, the likeliest first."""
    kept: list[int] = field(default_factory=list)
    """Those that were answered."""
    masks: list[Masks] = field(default_factory=list)
    candidates: list[Masks] = field(default_factory=list)

    @classmethod
    def of(cls, asked: Asked) -> _Queue:
        """All prompts, none answered."""
        span_of = [place for place, span in enumerate(asked.spans) for _ in span.prompts]
        judged = [bool(judges(asked.spans[place])) for place in span_of]
        prompts = asked.prompts.items
        waiting = sorted(
            (i for i, own in enumerate(judged) if own), key=lambda i: -prompts[i].score
        )
        return cls(prompts, span_of, [i for i, own in enumerate(judged) if not own], waiting)

    def turn(self) -> list[int]:
        """Whose turn it is, in order: all that nobody judges, or the next of the others."""
        turn, self.ready = self.ready or [self.waiting.pop(0)], []
        return turn

    def add(self, turn: Sequence[int], answers: Answers) -> None:
        """Note answers, whose masks refer to their prompt's place in the turn."""
        self.kept += turn
        places = np.asarray(turn, np.int64)
        for parts, masks in ((self.masks, answers.masks), (self.candidates, answers.candidates)):
            parts.append(masks.changed(prompt=places[masks.prompt]))

    def drop(self, places: Iterable[int]) -> None:
        """These are not asked."""
        self.waiting = [i for i in self.waiting if i not in places]

    def answers(self, asked: Asked, size: tuple[int, int]) -> Answers:
        """The prompts that were asked, and their masks, which refer to their place among them."""
        kept = sorted(self.kept)
        place_of = np.zeros(len(self.prompts), np.int64)
        place_of[kept] = np.arange(len(kept))
        masks, candidates = (
            whole.changed(prompt=place_of[whole.prompt])
            for whole in (united(self.masks, size), united(self.candidates, size))
        )
        return Answers(_only(asked, kept), masks, candidates)


def _only(asked: Asked, places: Sequence[int]) -> Asked:
    """The same spans with the prompts at these places alone."""

    def spans() -> Iterator[Span]:
        start = 0
        for span in asked.spans:
            own = enumerate(span.prompts, start)
            yield replace(span, prompts=Prompts(tuple(p for i, p in own if i in places)))
            start += len(span.prompts)

    return Asked(tuple(spans()))


def _places(prompter: Prompter, given: Prompts, kept: Prompts) -> list[int] | Failure:
    """Where the admitted prompts stand among those that were given."""
    places = [next((i for i, own in enumerate(given) if own is prompt), None) for prompt in kept]
    if None in places:
        return Failure(
            f"admit of {named(prompter)} should return some of the prompts that it is given, but "
            "returns another one; change prompts in refine"
        )
    return [place for place in places if place is not None]
