"""The work of each node of the graph, on a chunk of images at a time.

A failure of one step becomes a `Failure` of its image, which every later node passes on; the other
images of the chunk are not touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from segkit.errors import SegkitError, TooLargeError, error_line, plugin_code
from segkit.plugins.contract import named
from segkit.plugins.steps import Step
from segkit.running.calling import Call, Caller, Failure, Task, Values
from segkit.running.graph import Node
from segkit.running.masking import alone, grouped, make_masks, segment, together
from segkit.running.prompting import Asked, Heatmaps, Span, joined
from segkit.running.rounds import refine
from segkit.running.tiling import Tiling
from segkit.values.types import Masks

UNJUDGED = (
    "a step behind the judge has dropped the masks' quality; let it choose with masks.take(indices)"
)


class Work(Tiling):
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
            if isinstance(error, TooLargeError):
                return [Failure(f"{tasks[0].image.name}: {error}")]
            return [Failure(f"{' and '.join(map(named, node.steps))} raised {error_line(error)}")]


# ---- what is done, one function a role: (caller, node, tasks, their needs) -> values ------------


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
    return grouped(caller, node, node.steps[0], calls)


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
    for several, answers in zip(heatmaps, grouped(caller, node, step, calls), strict=True):
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


def _heatmaps(
    caller: Caller, node: Node, tasks: Sequence[Task], needs: Sequence[Values]
) -> list[Any]:
    """The heatmaps of several saliency methods, one after another."""
    return [tuple(heat for index in sorted(n, key=int) for heat in n[index]) for n in needs]


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


def _sift(caller: Caller, node: Node, tasks: Sequence[Task], needs: Sequence[Values]) -> list[Any]:
    """The masks that are judged good enough, and how many are not."""
    sifted: list[Any] = []
    for values in needs:
        masks: Masks = values["masks"]
        if masks.quality is None:
            sifted.append(Failure(f"--least-quality: {UNJUDGED}"))
            continue
        kept = masks.take(np.flatnonzero(masks.quality >= node.level))
        sifted.append((kept, len(masks) - len(kept)))
    return sifted


def _merge(caller: Caller, node: Node, tasks: Sequence[Task], needs: Sequence[Values]) -> list[Any]:
    """The masks that a fuser leaves as objects."""
    step = node.steps[0]
    pairs = zip(tasks, needs, strict=True)
    calls = [Call(task, together(values, step, "merge")) for task, values in pairs]
    return caller.call(node, step, calls, method="merge")


def _count(caller: Caller, node: Node, tasks: Sequence[Task], needs: Sequence[Values]) -> list[Any]:
    """A metric's counts; none for an image without truth, if it needs one."""
    step = node.steps[0]
    blind = "truth" in type(step).inputs().required
    counts: list[Any] = [{} for _ in tasks]
    places = [i for i, task in enumerate(tasks) if not (blind and task.truth is None)]
    calls = [Call(tasks[i], together(needs[i], step)) for i in places]
    for place, counted in zip(places, caller.call(node, step, calls), strict=True):
        counts[place] = counted
    return counts


def _result(place: int) -> Role:
    """One of the values that `refine` or `sift` leaves behind."""
    return lambda caller, node, tasks, needs: [values["result"][place] for values in needs]


Role: TypeAlias = Callable[[Caller, Node, Sequence[Task], Sequence[Values]], list[Any]]

ROLES: Mapping[str, Role] = {
    "saliency": alone,
    "transform": _transform,
    "prompt": _prompt,
    "gather": _gather,
    "heatmaps": _heatmaps,
    "perturb": _perturb,
    "encode": _encode,
    "segment": segment,
    "make_masks": make_masks,
    "sift": _sift,
    "sifted_masks": _result(0),
    "left_out": _result(1),
    "merge": _merge,
    "make_labels": alone,
    "count": _count,
    "refine": refine,
    "refined_prompts": _result(0),
    "refined_masks": _result(1),
    "refined_candidates": _result(2),
}
"""What a node's role is, to what it does."""


def _attempt(work: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return work(*arguments)
    except SegkitError as error:
        return Failure(str(error))
