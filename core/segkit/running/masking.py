"""What a run asks of steps that make masks: segmenters of prompts, and what makes masks of masks.

Where there are several heatmaps, a step that reads one is asked about each apart, with the prompts
and masks that go with it; a judge sees all masks of an image at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from segkit.plugins.steps import Judge, Step
from segkit.running.calling import Call, Caller, Failure, Task, Values
from segkit.running.graph import Node
from segkit.running.prompting import Asked, Heatmaps, heatmap_for, placed, united
from segkit.values.heatmaps import union
from segkit.values.types import Masks, Prompts


def alone(caller: Caller, node: Node, tasks: Sequence[Task], needs: Sequence[Values]) -> list[Any]:
    """One call of the node's step for each image, with all that it may ask for."""
    step = node.steps[0]
    calls = [Call(t, together(n, step)) for t, n in zip(tasks, needs, strict=True)]
    return caller.call(node, step, calls)


def segment(
    caller: Caller, node: Node, tasks: Sequence[Task], needs: Sequence[Values]
) -> list[Any]:
    """Candidate masks: one call for each image, or for each heatmap with the prompts made of it."""
    step = node.steps[0]
    if type(step).output() is not Masks:
        return alone(caller, node, tasks, needs)
    questions = [_questions(step, t, n) for t, n in zip(tasks, needs, strict=True)]
    calls = [[call for call, _ in about] for about in questions]
    images: list[Any] = []
    answers = grouped(caller, node, step, calls)
    for task, about, parts in zip(tasks, questions, answers, strict=True):
        if isinstance(parts, Failure):
            images.append(parts)
            continue
        pairs = zip(parts, about, strict=True)
        masks = [placed(part, call.inputs.get("prompts"), which) for part, (call, which) in pairs]
        images.append(united(masks, task.image.size))
    return images


def _questions(step: Step, task: Task, values: Values) -> list[tuple[Call, list[int]]]:
    """What a segmenter of masks is asked about one image, and which of all prompts these are."""
    names = type(step).inputs()
    heatmaps: Heatmaps = values.get("heatmaps", ()) if "heatmap" in names.all else ()
    asked: Asked | None = values.get("prompts") if "prompts" in names.all else None
    encoding = {name: value for name, value in values.items() if name == "encoding"}
    questions: list[tuple[Call, list[int]]] = []
    for place in _frames(heatmaps, asked):
        inputs = dict(encoding)
        which = [place or 0]
        if asked is not None:
            prompts = asked.prompts
            own = len(heatmaps) < 2  # a single heatmap is everybody's
            which = [i for i, of in enumerate(asked.heatmap_of) if own or of == place]
            inputs["prompts"] = Prompts(tuple(prompts[i] for i in which))
            if not which and ("prompts" in names.required or (heatmaps and place is None)):
                continue  # nothing is asked: no mask
        if heatmaps:
            inputs["heatmap"] = heatmap_for(heatmaps, place)
        questions.append((Call(task, inputs), which))
    return questions


def _frames(heatmaps: Heatmaps, asked: Asked | None) -> list[int | None]:
    """The places of the heatmaps that are asked about apart; None: about none, or all of them."""
    places: list[int | None] = [*range(len(heatmaps))]
    whole = asked is not None and len(heatmaps) > 1 and None in asked.heatmap_of
    return [*places, None] if whole or not places else places


def make_masks(
    caller: Caller, node: Node, tasks: Sequence[Task], needs: Sequence[Values]
) -> list[Any]:
    """What the node's step makes of masks."""
    return masks_of(caller, node, node.steps[0], tasks, needs)


def masks_of(
    caller: Caller, node: Node, step: Step, tasks: Sequence[Task], needs: Sequence[Values]
) -> list[Any]:
    """What a step, such as a selector or a judge, makes of masks."""
    work = _judged if isinstance(step, Judge) else _per_heatmap
    return work(caller, node, step, tasks, needs)


def _judged(
    caller: Caller, node: Node, step: Step, tasks: Sequence[Task], needs: Sequence[Values]
) -> list[Any]:
    """All candidates of an image in one call, whichever prompter asked; no call without any."""
    calls = [
        [Call(task, together(values, step))] * bool(len(values["masks"]))
        for task, values in zip(tasks, needs, strict=True)
    ]
    judged: list[Any] = []
    for parts, values in zip(grouped(caller, node, step, calls), needs, strict=True):
        if isinstance(parts, Failure):
            judged.append(parts)
        else:
            judged.append(parts[0] if parts else values["masks"].changed(quality=np.zeros(0)))
    return judged


def _per_heatmap(
    caller: Caller, node: Node, step: Step, tasks: Sequence[Task], needs: Sequence[Values]
) -> list[Any]:
    """A call for each heatmap, if the step reads one, with the masks of its prompts."""
    calls: list[list[Call]] = []
    for task, values in zip(tasks, needs, strict=True):
        masks: Masks = values["masks"]
        asked: Asked | None = values.get("prompts")
        heatmaps = values.get("heatmaps", ()) if "heatmap" in type(step).inputs().all else ()
        given = {"heatmaps": values["heatmaps"]} if "heatmaps" in values else {}
        given |= {} if asked is None else {"prompts": asked.prompts}
        # Masks of a segmenter that reads no prompts answer the heatmap of that place.
        heatmap_of = (asked.heatmap_of if asked else None) or [*range(len(heatmaps))]
        questions = []
        for place in _frames(heatmaps, asked):
            own = masks
            if len(heatmaps) > 1:
                of = dict(enumerate(heatmap_of))
                own = masks.take(
                    [i for i, p in enumerate(masks.prompt.tolist()) if of.get(p, 0) == place]
                )
            inputs = {**given, "masks": own}
            if heatmaps:
                inputs["heatmap"] = heatmap_for(heatmaps, place)
            if len(own):
                questions.append(Call(task, inputs))
        calls.append(questions)
    made: list[Any] = []
    answers = grouped(caller, node, step, calls)
    for parts, task, values in zip(answers, tasks, needs, strict=True):
        if isinstance(parts, Failure):
            made.append(parts)
        else:
            made.append(united(parts or [values["masks"].take([])], task.image.size))
    return made


def grouped(
    caller: Caller, node: Node, step: Step, calls: Sequence[Sequence[Call]]
) -> list[tuple[Any, ...] | Failure]:
    """Several calls an image, all in one batch: each image's outputs, or its first failure."""
    outputs = iter(caller.call(node, step, [call for several in calls for call in several]))
    groups: list[tuple[Any, ...] | Failure] = []
    for several in calls:
        group = tuple(next(outputs) for _ in several)
        failed = next((output for output in group if isinstance(output, Failure)), None)
        groups.append(group if failed is None else failed)
    return groups


def together(values: Values, step: Step, method: str | None = None) -> dict[str, Any]:
    """Values as steps take them that look at the whole image: prompts in one row, one heatmap.

    The heatmaps are united only where the step's work or `method` asks for one.
    """
    together = dict(values)
    names = type(step).inputs() if method is None else type(step).inputs_of(method)
    if values.get("heatmaps") and "heatmap" in names.all:
        together["heatmap"] = union(values["heatmaps"])
    if "prompts" in values:
        together["prompts"] = values["prompts"].prompts
    return together
