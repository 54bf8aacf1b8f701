"""The work of each node of the graph, on a chunk of images at a time.

Whatever a step raises or makes wrongly becomes a `Failure` of that one image, which every later
node passes on; the other images of the chunk are not touched.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from segkit.errors import BadValueError, SegkitError, error_line, plugin_code
from segkit.plugins.contract import check_output, named, why_failed
from segkit.plugins.observers import Observers
from segkit.plugins.steps import Prompter, Segmenter, Selector, Step
from segkit.running.graph import Node, selector_of
from segkit.running.plan import Group
from segkit.values.types import Heatmap, Image, Masks, Prompt, Prompts, Truth

Heatmaps: TypeAlias = tuple[Heatmap, ...]
Values: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Failure:
    """In place of a value: the sentence that says why there is none."""

    error: str


@dataclass(frozen=True)
class Span:
    """The prompts that one group of prompters made, for one heatmap or for none."""

    prompts: Prompts
    heatmap: int | None
    prompters: Group


@dataclass(frozen=True)
class Asked:
    """All prompts of an image, with where each came from."""

    spans: tuple[Span, ...]

    @property
    def prompts(self) -> Prompts:
        """All prompts in one row; masks refer to their place in it."""
        return Prompts(tuple(p for span in self.spans for p in span.prompts))

    @property
    def heatmap_of(self) -> list[int]:
        """For each prompt the index of its heatmap; the first one's for those without."""
        return [span.heatmap or 0 for span in self.spans for _ in span.prompts]


@dataclass(eq=False)
class Task:
    """One image on its way through the graph."""

    image: Image
    truth: Truth | None
    values: dict[str, Any] = field(default_factory=dict)
    """Node key to value, as long as somebody still needs it."""
    done: set[str] = field(default_factory=set)
    """The nodes that have been evaluated, whether or not their value is still kept."""
    reads: Counter[str] = field(default_factory=Counter)
    """Node key to how many of its readers have read it."""
    seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    """Node key to step name to seconds."""


class Work:
    """Evaluates nodes. `classes` is {id: name} of the data set."""

    def __init__(self, classes: Mapping[int, str], seed: int, observers: Observers) -> None:
        self.classes = dict(classes)
        self.seed = seed
        self.observers = observers
        self._node = ""

    def evaluate(self, node: Node, tasks: Sequence[Task]) -> None:
        """Put the node's value, or a `Failure`, into each task that lacks it."""
        self._node = node.key
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
            for task, value in zip(ready, self._role(node, ready, needs), strict=True):
                task.values[node.key] = value

    def _role(self, node: Node, tasks: Sequence[Task], needs: Sequence[Values]) -> list[Any]:
        """What the node's method makes; an image that it cannot cope with becomes a `Failure`."""
        work = getattr(self, f"_{node.role}")
        try:
            with plugin_code():  # values are a plugin's too
                return list(work(node, tasks, needs))
        except Exception as error:
            if len(tasks) > 1:
                pairs = zip(tasks, needs, strict=True)
                return [self._role(node, [task], [need])[0] for task, need in pairs]
            return [Failure(f"{' and '.join(map(named, node.steps))} raised {error_line(error)}")]

    # ---- one method a role: (node, tasks, their needs) -> their values --------------------------

    def _saliency(self, node: Node, tasks: Sequence[Task], needs: Sequence[Values]) -> list[Any]:
        return self._call(node.steps[0], tasks, [{}] * len(tasks))

    def _transform(self, node: Node, tasks: Sequence[Task], needs: Sequence[Values]) -> list[Any]:
        flat = [(t, h) for t, n in zip(tasks, needs, strict=True) for h in n["heatmaps"]]
        made = self._call(node.steps[0], [t for t, _ in flat], [{"heatmap": h} for _, h in flat])
        return _regrouped(made, [len(n["heatmaps"]) for n in needs])

    def _prompt(self, node: Node, tasks: Sequence[Task], needs: Sequence[Values]) -> list[Any]:
        """The spans of one group for each task."""
        heatmaps = [n.get("heatmaps", ()) for n in needs]
        rows = [self._asked_by(step, tasks, heatmaps) for step in node.steps]
        made: list[Any] = []
        for several in zip(*rows, strict=True):
            failed = next((s for s in several if isinstance(s, Failure)), None)
            made.append(failed or _attempt(_merged, several, node.steps))
        return made

    def _asked_by(
        self, step: Step, tasks: Sequence[Task], heatmaps: Sequence[Heatmaps]
    ) -> list[Any]:
        """One prompter's spans for each task: one for each heatmap, or one if it reads none."""
        if "heatmap" not in type(step).inputs().all or not any(heatmaps):
            made = self._call(step, tasks, [{}] * len(tasks))
            return [m if isinstance(m, Failure) else ((None, m),) for m in made]
        flat = [(t, i, h) for t, hs in zip(tasks, heatmaps, strict=True) for i, h in enumerate(hs)]
        inputs = [{"heatmap": h, "heatmap_index": i} for _, i, h in flat]
        made = self._call(step, [t for t, _, _ in flat], inputs)
        spans = [
            m if isinstance(m, Failure) else (i, m.named(h.name, h.score))
            for m, (_, i, h) in zip(made, flat, strict=True)
        ]
        return _regrouped(spans, [len(hs) for hs in heatmaps])

    def _gather(self, node: Node, tasks: Sequence[Task], needs: Sequence[Values]) -> list[Any]:
        return [Asked(tuple(s for i in sorted(n, key=int) for s in n[i])) for n in needs]

    def _perturb(self, node: Node, tasks: Sequence[Task], needs: Sequence[Values]) -> list[Any]:
        """The prompts as they came, but damaged; each still belongs to its prompter."""
        step = node.steps[0]
        inputs = [{"prompts": n["prompts"].prompts, "level": node.level} for n in needs]
        made = self._call(step, tasks, inputs)
        return [
            m if isinstance(m, Failure) else _attempt(_replaced, n["prompts"], m, step)
            for m, n in zip(made, needs, strict=True)
        ]

    def _encode(self, node: Node, tasks: Sequence[Task], needs: Sequence[Values]) -> list[Any]:
        return self._call(node.steps[0], tasks, [{}] * len(tasks), method="encode")

    def _segment(self, node: Node, tasks: Sequence[Task], needs: Sequence[Values]) -> list[Any]:
        step = node.steps[0]
        names = type(step).inputs().all
        if type(step).output() is not Masks:
            return self._call(step, tasks, [_plain(n) for n in needs])
        # One call for each image, or for each heatmap of an image with the prompts made of it.
        calls: list[tuple[Task, dict[str, Any], list[int]]] = []
        counts = []
        for task, values in zip(tasks, needs, strict=True):
            asked = values.get("prompts", Asked(()))
            prompts = asked.prompts
            per_heatmap = "heatmap" in names and values.get("heatmaps")
            before = len(calls)
            for index in range(len(values["heatmaps"])) if per_heatmap else (None,):
                inputs = {k: v for k, v in values.items() if k == "encoding"}
                places = [index or 0]
                if "prompts" in names and "prompts" in values:
                    places = [
                        i for i, h in enumerate(asked.heatmap_of) if index is None or h == index
                    ]
                    inputs["prompts"] = Prompts(tuple(prompts[i] for i in places))
                    if not places and "prompts" in type(step).inputs().required:
                        continue  # nothing is asked: no mask
                if index is not None:
                    inputs["heatmap"] = values["heatmaps"][index]
                calls.append((task, inputs, places))
            counts.append(len(calls) - before)
        made = self._call(step, [c[0] for c in calls], [c[1] for c in calls])
        placed = [
            m if isinstance(m, Failure) else _placed(m, inputs.get("prompts"), places)
            for m, (_, inputs, places) in zip(made, calls, strict=True)
        ]
        groups = _regrouped(placed, counts)
        return [
            g if isinstance(g, Failure) else _joined(g, t.image.size)
            for g, t in zip(groups, tasks, strict=True)
        ]

    def _select(self, node: Node, tasks: Sequence[Task], needs: Sequence[Values]) -> list[Any]:
        return self._selected(node.steps[0], tasks, needs)

    def _selected(self, step: Step, tasks: Sequence[Task], needs: Sequence[Values]) -> list[Any]:
        """The selector's choice; for each heatmap apart if it reads one."""
        calls: list[tuple[Task, dict[str, Any]]] = []
        counts = []
        for task, values in zip(tasks, needs, strict=True):
            masks: Masks = values["masks"]
            asked = values.get("prompts", Asked(()))
            heatmaps = values.get("heatmaps", ()) if "heatmap" in type(step).inputs().all else ()
            before = len(calls)
            for index in range(len(heatmaps)) if len(heatmaps) > 1 else (0,):
                inputs: dict[str, Any] = {"masks": masks}
                if "prompts" in values:
                    inputs["prompts"] = asked.prompts
                if heatmaps:
                    inputs["heatmap"] = heatmaps[index]
                if len(heatmaps) > 1:
                    # Masks of a segmenter that reads no prompts answer the heatmap of that place.
                    of = dict(enumerate(asked.heatmap_of or range(len(heatmaps))))
                    own = [i for i, p in enumerate(masks.prompt.tolist()) if of.get(p, 0) == index]
                    inputs["masks"] = masks.take(own)
                if len(inputs["masks"]):
                    calls.append((task, inputs))
            counts.append(len(calls) - before)
        made = self._call(step, [c[0] for c in calls], [c[1] for c in calls])
        return [
            g if isinstance(g, Failure) else _joined(g, t.image.size)
            for g, t in zip(_regrouped(made, counts), tasks, strict=True)
        ]

    def _fuse(self, node: Node, tasks: Sequence[Task], needs: Sequence[Values]) -> list[Any]:
        return self._call(node.steps[0], tasks, [_plain(n) for n in needs])

    def _count(self, node: Node, tasks: Sequence[Task], needs: Sequence[Values]) -> list[Any]:
        """A metric's counts; none for an image without truth, if it needs one."""
        step = node.steps[0]
        blind = "truth" in type(step).inputs().required
        made: list[Any] = [{} for _ in tasks]
        places = [i for i, t in enumerate(tasks) if not (blind and t.truth is None)]
        counted = self._call(step, [tasks[i] for i in places], [_plain(needs[i]) for i in places])
        for place, counts in zip(places, counted, strict=True):
            made[place] = counts
        return made

    def _refine(self, node: Node, tasks: Sequence[Task], needs: Sequence[Values]) -> list[Any]:
        return [self._rounds(node, t, n) for t, n in zip(tasks, needs, strict=True)]

    def _rounds(self, node: Node, task: Task, values: Values) -> Any:
        """Ask, segment, select, ask again: (asked, masks, candidates) of the last round."""
        segmenter = next(s for s in node.steps if isinstance(s, Segmenter))
        selector: Selector | None = selector_of(node)
        segment = replace(node, steps=(segmenter,))
        asked: Asked = values["prompts"]
        for last in range(node.rounds - 1, -1, -1):
            now = {**values, "prompts": asked}
            masks = candidates = self._segment(segment, [task], [now])[0]
            if selector is not None and not isinstance(masks, Failure):
                masks = self._selected(selector, [task], [{**now, "masks": masks}])[0]
            if isinstance(masks, Failure):
                return masks
            if not last:
                break
            again = self._asked_again(task, asked, masks, values.get("heatmaps", ()))
            if isinstance(again, Failure):
                return again
            if again is None:
                break
            asked = again
        return asked, masks, candidates

    def _asked_again(
        self, task: Task, asked: Asked, masks: Masks, heatmaps: Heatmaps
    ) -> Asked | Failure | None:
        """Every group's second look at its own prompts and masks; None if all are content."""
        spans, changed, start = [], False, 0
        for span in asked.spans:
            own = [i for i, p in enumerate(masks.prompt) if start <= p < start + len(span.prompts)]
            answers = masks.take(own)
            answers = replace(answers, prompt=answers.prompt - start)
            start += len(span.prompts)
            for prompter in span.prompters:
                if not hasattr(prompter, "refine"):
                    continue
                inputs: dict[str, Any] = {"prompts": span.prompts, "masks": answers}
                # A prompt that was made without a heatmap is checked against the first one.
                heatmap = heatmaps[span.heatmap or 0] if heatmaps else None
                if heatmap is not None:
                    inputs["heatmap"] = heatmap
                new = self._call(prompter, [task], [inputs], method="refine")[0]
                if isinstance(new, Failure):
                    return new
                if new is not None:
                    if heatmap is not None and span.heatmap is not None:
                        new = new.named(heatmap.name, heatmap.score)
                    span, changed = replace(span, prompts=new), True
            spans.append(span)
        return Asked(tuple(spans)) if changed else None

    def _refined_prompts(
        self, node: Node, tasks: Sequence[Task], needs: Sequence[Values]
    ) -> list[Any]:
        return [n["result"][0] for n in needs]

    def _refined_masks(
        self, node: Node, tasks: Sequence[Task], needs: Sequence[Values]
    ) -> list[Any]:
        return [n["result"][1] for n in needs]

    def _refined_candidates(
        self, node: Node, tasks: Sequence[Task], needs: Sequence[Values]
    ) -> list[Any]:
        return [n["result"][2] for n in needs]

    # ---- calling one step ----------------------------------------------------------------------

    def _call(
        self,
        step: Step,
        tasks: Sequence[Task],
        values: Sequence[Values],
        method: str | None = None,
    ) -> list[Any]:
        """What the step makes of each task, checked; a `Failure` where it raises or breaks rules.

        The work method goes through `batch`; if a batch raises, its images are tried one by one.
        """
        if not tasks:
            return []
        inputs = [
            self._inputs(step, task, value, method)
            for task, value in zip(tasks, values, strict=True)
        ]
        for task in tasks:
            self.observers.tell("segkit_before_step", step=step, image=task.image)
        start = time.perf_counter()
        made = self._made(step, inputs, method)
        share = (time.perf_counter() - start) / len(tasks)
        label = step.name if method is None else f"{step.name}.{method}"
        checked = []
        for task, given, one in zip(tasks, inputs, made, strict=True):
            spent = task.seconds.setdefault(self._node, {})
            spent[label] = spent.get(label, 0.0) + share
            if method is None or (method == "refine" and one is not None):
                one = _guarded(partial(_checked, step, one, given, task))
            if isinstance(one, Exception):
                self.observers.tell("segkit_step_failed", step=step, image=task.image, error=one)
                checked.append(Failure(why_failed(step, one)))
            else:
                what = {"step": step, "image": task.image, "output": one, "seconds": share}
                what["method"] = method or step.work
                self.observers.tell("segkit_after_step", **what)
                checked.append(one)
        return checked

    def _made(self, step: Step, inputs: Sequence[Values], method: str | None) -> list[Any]:
        if method is not None:
            work = getattr(step, method)
            return [_guarded(partial(work, **one)) for one in inputs]
        made = _guarded(partial(_whole_batch, step, inputs))
        if not isinstance(made, Exception):
            return list(made)
        if len(inputs) == 1:
            return [made]
        alone = [_guarded(partial(_whole_batch, step, [one])) for one in inputs]
        return [m if isinstance(m, Exception) else m[0] for m in alone]

    def _inputs(self, step: Step, task: Task, values: Values, method: str | None) -> dict[str, Any]:
        """The inputs that the step names, as far as there are any."""
        names = type(step).inputs() if method is None else type(step).inputs_of(method)
        found = {"image": task.image, "classes": dict(self.classes), **values}
        if task.truth is not None:
            found["truth"] = task.truth
        if "rng" in names.all:
            found["rng"] = self._rng(step, task.image.name, values.get("heatmap_index", 0))
        return {n: found[n] for n in names.all if n in found}

    def _rng(self, step: Step, image: str, heatmap: int) -> np.random.Generator:
        return randomness(self.seed, step, image, heatmap)


def randomness(seed: int, step: Step, image: str, heatmap: int = 0) -> np.random.Generator:
    """The step's randomness for one image: the same in batched, resumed and shared runs."""
    text = "\0".join((str(seed), image, step.kind, step.name, str(heatmap)))
    return np.random.default_rng(np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint32))


def _whole_batch(step: Step, inputs: Sequence[Values]) -> list[Any]:
    made = list(step.batch(inputs))
    if len(made) != len(inputs):
        raise BadValueError(
            f"{named(step)} should make {len(inputs)} values of a batch of "
            f"{len(inputs)}, but made {len(made)}"
        )
    return made


def _guarded(work: Callable[[], Any]) -> Any:
    """What `work` returns, or the exception that it raised."""
    try:
        with plugin_code():
            return work()
    except Exception as error:
        return error


def _checked(step: Step, made: Any, given: Values, task: Task) -> Any:
    if isinstance(made, Exception):
        return made
    return check_output(step, made, {**given, "image": task.image})


def _attempt(work: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return work(*arguments)
    except SegkitError as error:
        return Failure(str(error))


def _regrouped(made: Sequence[Any], counts: Sequence[int]) -> list[Any]:
    """Flat values as one tuple an image again; an image with a failure is one `Failure`."""
    groups: list[Any] = []
    start = 0
    for count in counts:
        group = tuple(made[start : start + count])
        start += count
        failed = next((g for g in group if isinstance(g, Failure)), None)
        groups.append(group if failed is None else failed)
    return groups


def _plain(values: Values) -> dict[str, Any]:
    """Values as steps after the segmenter take them: prompts in one row, the first heatmap."""
    plain = _first_heatmap(values)
    if "prompts" in plain:
        plain["prompts"] = plain["prompts"].prompts
    return plain


def _first_heatmap(values: Values) -> dict[str, Any]:
    first = {"heatmap": values["heatmaps"][0]} if values.get("heatmaps") else {}
    return {**values, **first}


def _merged(several: Sequence[tuple[tuple[int | None, Prompts], ...]], group: Group) -> Any:
    """The spans of a group: each prompter's prompts for a heatmap joined to the others'."""
    heatmaps = max(several, key=len)
    spans = []
    for place, (heatmap, _) in enumerate(heatmaps):
        rows = [row[place if len(row) > 1 else 0] for row in several]
        index = next((h for h, _ in rows if h is not None), heatmap)
        prompts = rows[0][1]
        for (_, more), prompter in zip(rows[1:], group[1:], strict=True):
            prompts = _paired(prompts, more, group[0], prompter)
        spans.append(Span(prompts, index, group))
    return tuple(spans)


def _paired(one: Prompts, other: Prompts, first: Prompter, second: Prompter) -> Prompts:
    """Prompt by prompt; a single one joins each of several, none at all changes nothing."""
    if not len(one) or not len(other):
        return other if not len(one) else one
    if len(one) != len(other) and 1 not in (len(one), len(other)):
        raise BadValueError(
            f"{first.name}+{second.name} should make as many prompts each, but make {len(one)} "
            f"and {len(other)}"
        )
    pairs: list[Prompt] = []
    for i in range(max(len(one), len(other))):
        pairs.append(one[i % len(one)].merged(other[i % len(other)]))
    return Prompts(tuple(pairs))


def _replaced(asked: Asked, prompts: Prompts, step: Step) -> Asked:
    """The same spans with these prompts in place of theirs."""
    if len(prompts) != len(asked.prompts):
        raise BadValueError(
            f"{named(step)} should make as many prompts as it is given, "
            f"{len(asked.prompts)}, but made {len(prompts)}"
        )
    spans, start = [], 0
    for span in asked.spans:
        end = start + len(span.prompts)
        spans.append(replace(span, prompts=Prompts(prompts.items[start:end])))
        start = end
    return Asked(tuple(spans))


def _placed(masks: Masks, prompts: Prompts | None, places: list[int]) -> Masks:
    """Masks that answer some of the prompts, renumbered to all; nameless ones get their class."""
    names = tuple(
        name if name is not None or prompts is None else prompts[p].name
        for name, p in zip(masks.names, masks.prompt, strict=True)
    )
    if prompts is None:
        return replace(masks, prompt=masks.prompt + places[0], names=names)
    return replace(masks, prompt=np.asarray(places, np.int64)[masks.prompt], names=names)


def _joined(parts: tuple[Masks, ...], size: tuple[int, int]) -> Masks:
    """Several `Masks` of one image as one, in the order of the prompts they answer."""
    if not parts:
        return Masks.none(size)
    if len(parts) == 1:
        return parts[0]
    prompt = np.concatenate([m.prompt for m in parts])
    logits = [m.logits for m in parts if m.logits is not None]
    same = len(logits) == len(parts) and len({m.shape[1:] for m in logits}) == 1
    joined = Masks(
        np.concatenate([m.masks for m in parts]),
        np.concatenate([m.scores for m in parts]),
        prompt,
        tuple(n for m in parts for n in m.names),
        np.concatenate(logits) if same else None,
    )
    return joined.take(np.argsort(prompt, kind="stable"))
