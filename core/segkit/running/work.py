"""The work of each node of the graph, on a chunk of images at a time.

A failure of one step becomes a `Failure` of its image, which every later node passes on; the other
images of the chunk are not touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from segkit.errors import SegkitError, error_line, plugin_code
from segkit.plugins.contract import named
from segkit.plugins.steps import Segmenter, Step
from segkit.running.calling import Call, Caller, Failure, Task, Values
from segkit.running.graph import Node
from segkit.running.prompting import (
    Asked,
    Heatmaps,
    Span,
    heatmap_for,
    joined,
    placed,
    union,
    united,
)
from segkit.running.second_looks import Answers, admitted, look
from segkit.values.types import Masks, Prompts


class Work(Caller):
    """Evaluates nodes."""

    def evaluate(self, node: Node, tasks: Sequence[Task]) -> None:
        """Put the node's value, or a `Failure`, into each task that lacks it."""
        ready: list[Task] = []
        needs: list[dict[str, Any]] = []
        for task in tasks:
            if node.key in task.done:
                continue
            task.done.add(node.key)
            values = {name: task.values[need.key] for name, need in node.needs.items()}
            failed = next((v for v in values.values() if isinstance(v, Failure)), None)
            if failed is None:
                ready.append(task)
                needs.append(values)
            else:
                task.values[node.key] = failed
        if ready:
            for task, value in zip(ready, self._values(node, ready, needs), strict=True):
                task.values[node.key] = value

    def _values(self, node: Node, tasks: Sequence[Task], needs: Sequence[Values]) -> list[Any]:
        """What the node's role makes; an image that it cannot cope with becomes a `Failure`."""
        try:
            with plugin_code():  # values are a plugin's too
                return list(ROLES[node.role](self, node, tasks, needs))
        except Exception as error:
            if len(tasks) > 1:
                pairs = zip(tasks, needs, strict=True)
                return [self._values(node, [task], [need])[0] for task, need in pairs]
            return [Failure(f"{' and '.join(map(named, node.steps))} raised {error_line(error)}")]


# ---- what is done, one function a role: (caller, node, tasks, their needs) -> values ------------


def _alone(caller: Caller, node: Node, tasks: Sequence[Task], needs: Sequence[Values]) -> list[Any]:
    """One call of the node's step for each image, with all that it may ask for."""
    calls = [Call(t, _together(n)) for t, n in zip(tasks, needs, strict=True)]
    return caller.call(node, node.steps[0], calls)


def _encode(
    caller: Caller, node: Node, tasks: Sequence[Task], needs: Sequence[Values]
) -> list[Any]:
    return caller.call(node, node.steps[0], [Call(task) for task in tasks], method="encode")


def _transform(
    caller: Caller, node: Node, tasks: Sequence[Task], needs: Sequence[Values]
) -> list[Any]:
    calls = [
        [Call(task, {"heatmap": heatmap}) for heatmap in values["heatmaps"]]
        for task, values in zip(tasks, needs, strict=True)
    ]
    return _grouped(caller, node, node.steps[0], calls)


def _prompt(
    caller: Caller, node: Node, tasks: Sequence[Task], needs: Sequence[Values]
) -> list[Any]:
    """What one group asks about each image."""
    heatmaps = [values.get("heatmaps", ()) for values in needs]
    rows = [_asked_by(caller, node, step, tasks, heatmaps) for step in node.steps]
    groups: list[Any] = []
    for several in zip(*rows, strict=True):
        failed = next((asked for asked in several if isinstance(asked, Failure)), None)
        groups.append(failed or _attempt(joined, several, node.steps))
    return groups


def _asked_by(
    caller: Caller, node: Node, step: Step, tasks: Sequence[Task], heatmaps: Sequence[Heatmaps]
) -> list[Any]:
    """What one prompter asks: a span for each heatmap, or one if it reads none."""
    if "heatmap" not in type(step).inputs().all or not any(heatmaps):
        outputs = caller.call(node, step, [Call(task) for task in tasks])
        return [o if isinstance(o, Failure) else Asked((Span(o),)) for o in outputs]
    calls = [
        [Call(task, {"heatmap": heatmap}, place) for place, heatmap in enumerate(several)]
        for task, several in zip(tasks, heatmaps, strict=True)
    ]
    asked: list[Any] = []
    for several, answers in zip(heatmaps, _grouped(caller, node, step, calls), strict=True):
        if isinstance(answers, Failure):
            asked.append(answers)
            continue
        pairs = enumerate(zip(several, answers, strict=True))
        spans = [Span(prompts.named(h.name, h.score), place) for place, (h, prompts) in pairs]
        asked.append(Asked(tuple(spans)))
    return asked


def _gather(
    caller: Caller, node: Node, tasks: Sequence[Task], needs: Sequence[Values]
) -> list[Any]:
    """What all groups ask, one after another."""
    return [
        Asked(tuple(span for index in sorted(n, key=int) for span in n[index].spans)) for n in needs
    ]


def _perturb(
    caller: Caller, node: Node, tasks: Sequence[Task], needs: Sequence[Values]
) -> list[Any]:
    """The prompts as they came, but damaged; each still belongs to its prompter."""
    step = node.steps[0]
    asked: list[Asked] = [values["prompts"] for values in needs]
    calls = [
        Call(task, {"prompts": before.prompts, "level": node.level})
        for task, before in zip(tasks, asked, strict=True)
    ]
    return [
        damaged if isinstance(damaged, Failure) else _attempt(before.replaced, damaged, step)
        for damaged, before in zip(caller.call(node, step, calls), asked, strict=True)
    ]


def _segment(
    caller: Caller, node: Node, tasks: Sequence[Task], needs: Sequence[Values]
) -> list[Any]:
    """Candidate masks: one call for each image, or for each heatmap with the prompts made of it."""
    step = node.steps[0]
    if type(step).output() is not Masks:
        return _alone(caller, node, tasks, needs)
    questions = [_questions(step, t, n) for t, n in zip(tasks, needs, strict=True)]
    calls = [[call for call, _ in about] for about in questions]
    images: list[Any] = []
    answers = _grouped(caller, node, step, calls)
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


def _make_masks(
    caller: Caller, node: Node, tasks: Sequence[Task], needs: Sequence[Values]
) -> list[Any]:
    return _masks_of_masks(caller, node, node.steps[0], tasks, needs)


def _masks_of_masks(
    caller: Caller, node: Node, step: Step, tasks: Sequence[Task], needs: Sequence[Values]
) -> list[Any]:
    """What a step, such as a selector, makes of masks; for each heatmap apart if it reads one."""
    calls: list[list[Call]] = []
    for task, values in zip(tasks, needs, strict=True):
        masks: Masks = values["masks"]
        asked: Asked | None = values.get("prompts")
        heatmaps = values.get("heatmaps", ()) if "heatmap" in type(step).inputs().all else ()
        given = {} if asked is None else {"prompts": asked.prompts}
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
    return [
        parts if isinstance(parts, Failure) else united(parts, task.image.size)
        for parts, task in zip(_grouped(caller, node, step, calls), tasks, strict=True)
    ]


def _merge(caller: Caller, node: Node, tasks: Sequence[Task], needs: Sequence[Values]) -> list[Any]:
    """The masks that a fuser leaves as objects."""
    calls = [Call(task, _together(values)) for task, values in zip(tasks, needs, strict=True)]
    return caller.call(node, node.steps[0], calls, method="merge")


def _count(caller: Caller, node: Node, tasks: Sequence[Task], needs: Sequence[Values]) -> list[Any]:
    """A metric's counts; none for an image without truth, if it needs one."""
    step = node.steps[0]
    blind = "truth" in type(step).inputs().required
    counts: list[Any] = [{} for _ in tasks]
    places = [i for i, task in enumerate(tasks) if not (blind and task.truth is None)]
    calls = [Call(tasks[i], _together(needs[i])) for i in places]
    for place, counted in zip(places, caller.call(node, step, calls), strict=True):
        counts[place] = counted
    return counts


def _refine(
    caller: Caller, node: Node, tasks: Sequence[Task], needs: Sequence[Values]
) -> list[Any]:
    return [_rounds(caller, node, t, n) for t, n in zip(tasks, needs, strict=True)]


def _rounds(caller: Caller, node: Node, task: Task, values: Values) -> Any:
    """Ask, segment, select, ask again: (asked, masks, candidates) of the last round."""
    place = next(i for i, step in enumerate(node.steps) if isinstance(step, Segmenter))
    segment = replace(node, steps=node.steps[place : place + 1])
    heatmaps: Heatmaps = values.get("heatmaps", ())

    def answer(asked: Asked) -> Answers | Failure:
        """What segmenter and selector make of the prompts."""
        now = {**values, "prompts": asked}
        masks = candidates = _segment(caller, segment, [task], [now])[0]
        for step in node.steps[place + 1 :]:
            if not isinstance(masks, Failure):
                given = {**now, "masks": masks}
                masks = _masks_of_masks(caller, node, step, [task], [given])[0]
        return masks if isinstance(masks, Failure) else Answers(asked, masks, candidates)

    answers = admitted(caller, node, task, values["prompts"], heatmaps, answer)
    for _ in range(node.rounds - 1):
        if isinstance(answers, Failure):
            break
        again = _asked_again(caller, node, task, answers.asked, answers.masks, heatmaps)
        if again is None or isinstance(again, Failure):
            return again or answers
        answers = admitted(caller, node, task, again, heatmaps, answer)
    return answers


def _asked_again(
    caller: Caller, node: Node, task: Task, asked: Asked, masks: Masks, heatmaps: Heatmaps
) -> Asked | Failure | None:
    """Every group's second look at its own prompts and masks; None if all are content."""
    spans, changed = [], False
    for span, answers in asked.answered(masks):
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


def _result(place: int) -> Role:
    """One of the values that `refine` leaves behind."""
    return lambda caller, node, tasks, needs: [values["result"][place] for values in needs]


Role: TypeAlias = Callable[[Caller, Node, Sequence[Task], Sequence[Values]], list[Any]]

ROLES: Mapping[str, Role] = {
    "saliency": _alone,
    "transform": _transform,
    "prompt": _prompt,
    "gather": _gather,
    "perturb": _perturb,
    "encode": _encode,
    "segment": _segment,
    "make_masks": _make_masks,
    "merge": _merge,
    "make_labels": _alone,
    "count": _count,
    "refine": _refine,
    "refined_prompts": _result(0),
    "refined_masks": _result(1),
    "refined_candidates": _result(2),
}
"""What a node's role is, to what it does."""


def _grouped(
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


def _together(values: Values) -> dict[str, Any]:
    """Values as steps take them that look at the whole image: prompts in one row, one heatmap."""
    together = dict(values)
    if values.get("heatmaps"):
        together["heatmap"] = union(values["heatmaps"])
    if "prompts" in values:
        together["prompts"] = values["prompts"].prompts
    return together


def _attempt(work: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return work(*arguments)
    except SegkitError as error:
        return Failure(str(error))
