"""Calling steps: their inputs, their batches, their time, and what becomes of what they raise.

Whatever a step raises or makes wrongly becomes a `Failure` of that one image.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segkit.errors import BadValueError, TooLargeError, plugin_code
from segkit.memory import HostMemory, out_of_memory, shown
from segkit.plugins.contract import check_output, named, why_failed
from segkit.plugins.observers import Observers
from segkit.plugins.steps import Step
from segkit.running.batches import Batches
from segkit.running.graph import Node
from segkit.values.types import Heatmap, Image, Masks, Truth
from segkit.values.waiting import let_go

Values: TypeAlias = Mapping[str, Any]

TOGETHER = 1 << 26
"""Calls of a step go into one batch as long as their images have no more pixels: 67 million."""


@dataclass(frozen=True)
class Failure:
    """In place of a value: the sentence that says why there is none."""

    error: str


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


@dataclass(frozen=True)
class Call:
    """One call of a step: the image, and what the step may ask for beside it."""

    task: Task
    inputs: Values = field(default_factory=dict)
    heatmap: int = 0
    """The place of the heatmap that it is about, for the step's randomness."""


class Caller:
    """Calls steps on images. `classes` is {id: name} of the data set.

    `batches`: how many calls go together; by default all of a step's.
    """

    def __init__(
        self,
        classes: Mapping[int, str],
        seed: int,
        observers: Observers,
        batches: Batches | None = None,
    ) -> None:
        self.classes = dict(classes)
        self.seed = seed
        self.observers = observers
        self.batches = batches or Batches()

    def call(
        self, node: Node, step: Step, calls: Sequence[Call], method: str | None = None
    ) -> list[Any]:
        """What the step makes of each call, checked; a `Failure` where it raises or breaks rules.

        The work method goes through `batch`, and `encode` through `encode_batch`. If a batch finds
        no memory, its halves are tried, and later batches are no larger; if it raises anything
        else, its images are tried one by one. The time counts for `node`. Calls on large images go
        in several batches, so that what one has made is packed before the next makes more.

        Raises `TooLargeError` where all that the calls make would not fit into the memory.
        """
        checked: list[Any] = []
        for block in _blocks(calls, self.batches.most(step, method)):
            checked += self._block(node, step, block, method)
            let_go()
            _look_ahead(step, checked, calls)
        return checked

    def _block(
        self, node: Node, step: Step, calls: Sequence[Call], method: str | None
    ) -> list[Any]:
        inputs = [self._inputs(step, call, method) for call in calls]
        for call in calls:
            self.observers.tell("segkit_before_step", step=step, image=call.task.image)
        start = time.perf_counter()
        outputs = self._outputs(step, inputs, method)
        share = (time.perf_counter() - start) / len(calls)
        label = step.name if method is None else f"{step.name}.{method}"
        checked = []
        for call, given, output in zip(calls, inputs, outputs, strict=True):
            spent = call.task.seconds.setdefault(node.key, {})
            spent[label] = spent.get(label, 0.0) + share
            if method in (None, "merge", "admit") or (method == "refine" and output is not None):
                output = _guarded(partial(_checked, step, output, given, call.task, method))
            context = {"step": step, "image": call.task.image}
            if isinstance(output, Exception):
                self.observers.tell("segkit_step_failed", error=output, **context)
                checked.append(Failure(why_failed(step, output)))
            else:
                context |= {"output": output, "seconds": share, "method": method or step.work}
                self.observers.tell("segkit_after_step", **context)
                checked.append(output)
        return checked

    def _outputs(self, step: Step, inputs: Sequence[Values], method: str | None) -> list[Any]:
        """What the step makes of each, or the exception that it raised."""
        together = {None: step.batch, "encode": getattr(step, "encode_batch", None)}.get(method)
        if together is None:
            work = getattr(step, method or step.work)
            return [_guarded(partial(work, **given)) for given in inputs]
        outputs = _guarded(partial(_whole_batch, step, together, inputs))
        if not isinstance(outputs, Exception):
            return list(outputs)
        if len(inputs) == 1:
            return [outputs]
        if out_of_memory(outputs):
            outputs = None  # its traceback holds what the batch has taken
            self.batches.halve(step, method, len(inputs))
            made: list[Any] = []
            while some := inputs[len(made) :][: self.batches.most(step, method)]:
                made += self._outputs(step, some, method)
            return made
        return [made for given in inputs for made in self._outputs(step, [given], method)]

    def _inputs(self, step: Step, call: Call, method: str | None) -> dict[str, Any]:
        """The inputs that the step names, as far as there are any."""
        names = type(step).inputs() if method is None else type(step).inputs_of(method)
        task = call.task
        there = {"image": task.image, "classes": dict(self.classes), **call.inputs}
        if task.truth is not None:
            there["truth"] = task.truth
        if "rng" in names.all:
            there["rng"] = randomness(self.seed, step, task.image.name, call.heatmap)
        return {name: there[name] for name in names.all if name in there}


def randomness(seed: int, step: Step, image: str, heatmap: int = 0) -> np.random.Generator:
    """The step's randomness for one image: the same in batched, resumed and shared runs."""
    text = "\0".join((str(seed), image, step.kind, step.name, str(heatmap)))
    return np.random.default_rng(np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint32))


def _whole_batch(
    step: Step, together: Callable[[Sequence[Values]], list[Any]], inputs: Sequence[Values]
) -> list[Any]:
    outputs = list(together(inputs))
    if len(outputs) != len(inputs):
        raise BadValueError(
            f"{named(step)} should make {len(inputs)} values of a batch of "
            f"{len(inputs)}, but made {len(outputs)}"
        )
    return outputs


def _guarded(work: Callable[[], Any]) -> Any:
    """What `work` returns, or the exception that it raised."""
    try:
        with plugin_code():
            return work()
    except Exception as error:
        return error


def _checked(step: Step, output: Any, given: Values, task: Task, method: str | None) -> Any:
    """What a step made, in the form in which it waits for its readers."""
    if isinstance(output, Exception):
        return output
    wanted = Masks if method == "merge" else None
    checked = check_output(step, output, {**given, "image": task.image}, wanted)
    if isinstance(checked, Masks):
        return checked._as_it_waits()
    if isinstance(checked, Heatmap) and method is None and given["heatmap"]._is_deferred:
        again = partial(_values_again, step, given)
        return Heatmap.deferred(again, checked.size, checked.name, checked.score)
    return checked


def _values_again(step: Step, given: Values) -> NDArray[np.float32]:
    """What a transform makes of a deferred heatmap, whose own values are made anew as well."""
    values: NDArray[np.float32] = step.batch([given])[0].values
    return values


# ---- large images ------------------------------------------------------------------------------


def _blocks(calls: Sequence[Call], most: int | None) -> Iterator[Sequence[Call]]:
    """The calls in a row, as many together as have `TOGETHER` pixels, and at least one.

    `most`: and no more than so many.
    """
    start, pixels = 0, 0
    for place, call in enumerate(calls):
        height, width = call.task.image.size
        pixels += height * width
        if (pixels > TOGETHER and place > start) or place - start == most:
            yield calls[start:place]
            start, pixels = place, height * width
    if calls[start:]:
        yield calls[start:]


def _look_ahead(step: Step, made: Sequence[Any], calls: Sequence[Call]) -> None:
    """Refuse, with `TooLargeError`, what will not fit, by what some of the calls have made."""
    left = len(calls) - len(made)
    if not left:
        return
    wanted = sum(map(waiting_bytes, made)) * left // len(made)
    free = HostMemory().free() if wanted > TOGETHER else None
    if free is not None and wanted > free:
        height, width = calls[-1].task.image.size
        raise TooLargeError(
            f"{named(step)} would make {len(calls):,} arrays for {width}x{height} pixels, which "
            f"need another {shown(wanted)} of memory, and {shown(free)} are free; ask for fewer "
            "classes or objects, or make the image smaller"
        )


def waiting_bytes(value: Any) -> int:
    """What a value's large arrays take while it waits."""
    values = value if isinstance(value, tuple) else (value,)
    return sum(v._waiting_bytes for v in values if isinstance(v, (Heatmap, Masks)))
