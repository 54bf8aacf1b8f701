"""One image, tried with one recipe after another: equal work is done once, and its value is kept.

A run walks many images with few recipes and drops each value when it is read. Here it is the other
way round: the same graph, work and steps, but each node's value stays, known by the node, the image
and what else decides it. So another option of a prompter costs a decoding, and another transform
neither saliency nor the image's encoding. What fails stops what needs it, and nothing before it.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from segkit.errors import PlanError, SegkitError
from segkit.kinds import KINDS, MAIN_FIGURE
from segkit.plugins.catalog import Catalog
from segkit.plugins.contract import blamed, classes_of, scores_of
from segkit.plugins.observers import Observers
from segkit.plugins.steps import Dataset, Metric, Prompter, Step
from segkit.running.asked import AskedTruth, classes_for, restrict, settle, vocabulary_of
from segkit.running.calling import Failure, Task
from segkit.running.graph import Branch, Graph, Node
from segkit.running.plan import Plan, asks
from segkit.running.prompting import Asked
from segkit.running.recipe import Part, Recipe
from segkit.running.value_cache import ValueCache
from segkit.running.walk import opened
from segkit.running.work import Work
from segkit.values.types import Heatmap, Image, Labels, Masks, Prompt, Prompts, Truth

ROOM = 1 << 30
"""Bytes of values that are kept by default; what the last trial needs is kept in any case."""

WEIGHTS = 1 << 30
"""Bytes of weight files of open steps that no recent trial needs; steps beyond it are closed."""

SPARE = 32
"""Most open steps that the last trial does not need."""

_JOINING = {"refine": "segmenter", "sift": "judge", "gather": "prompt"}
"""The kind of stage in which work of several steps, or of none, is told to have failed."""

_StepKey: TypeAlias = "tuple[tuple[str, ...], tuple[str, str, str]]"
"""The classes asked for, and the step's own key."""

Stopped: TypeAlias = "Callable[[], bool] | None"
"""Whether a trial is to stop: asked before each step, from the trial's thread; None: it is not."""

Made: TypeAlias = "tuple[Heatmap, ...] | Prompts | Masks | Labels"


class TrialCancelledError(SegkitError):
    """A trial was stopped before its end; what its steps had made is kept."""


@dataclass(frozen=True)
class Stage:
    """What a part of a plan made of the image, or why it made nothing."""

    kind: str
    """The kind of its steps, a key of `kinds.KINDS`."""
    steps: tuple[Step, ...]
    value: Made | None = None
    """Heatmaps of saliency and transforms; prompts; candidate or selected masks; a class map."""
    error: str | None = None
    """The sentence that says why there is no value."""
    seconds: float = 0.0
    """What it took just now; 0 where all was kept from earlier."""
    again: bool = False
    """Whether its prompts are those of the last look, after second looks."""


@dataclass(frozen=True)
class Trial:
    """What one recipe makes of one image, stage by stage in the order of the work.

    Stages behind one that failed are left out.
    """

    image: Image
    plan: Plan
    stages: tuple[Stage, ...]
    seconds: float
    """What it took to the end, kept values and all."""
    prompts: Prompts | None = None
    """What was asked in the end."""
    candidates: Masks | None = None
    """What the selector chose from, judged where there is a judge."""
    masks: Masks | None = None
    labels: Labels | None = None
    left_out: int = 0
    """How many masks were judged too weak for the recipe's `least_quality`."""
    scores: Mapping[str, float] | None = None
    """The main figure on this image, where it has truth."""

    @property
    def error(self) -> str | None:
        """Why it has no end; None if it has one."""
        return next((stage.error for stage in self.stages if stage.error is not None), None)


class Clicks(Prompter):
    """What a person asks by hand, as one prompt about one object."""

    name = "own-clicks"

    points: tuple[tuple[float, float], ...] = ()
    """x and y of each point, in pixels of the image."""
    signs: tuple[bool, ...] = ()
    """For each point whether it is on the object."""
    box: tuple[float, float, float, float] | None = None
    """x and y of the first pixel, x and y of the last; or None."""

    def __call__(self) -> Prompts:
        """One prompt, or none where nothing is asked."""
        prompt = Prompt(points=self.points, signs=self.signs, box=self.box)
        return Prompts() if prompt.empty else Prompts((prompt,))


def _go_on(stopped: Stopped) -> None:
    if stopped is not None and stopped():
        raise TrialCancelledError("cancelled; what was made until then is kept for the next try")


class Interactive:
    """Tries recipes on single images, and keeps steps open and values at hand between trials.

    `dataset` says which classes there are and whether there is truth; the images come with each
    trial. One trial runs at a time, whichever thread asks. `close()`, or the end of a `with` block,
    drops models and values.
    """

    def __init__(
        self, catalog: Catalog, dataset: Dataset, *, device: str = "cpu", room: int = ROOM
    ) -> None:
        """`device`: as `running.options.device_named` gives it; `room`: bytes of kept values."""
        self.catalog = catalog
        self.dataset = dataset
        self.device = device
        self.kept = ValueCache(room)
        self._steps: OrderedDict[_StepKey, tuple[Step, ExitStack, int]] = OrderedDict()
        self._turn = threading.RLock()

    def plan(self, recipe: Recipe) -> Plan:
        """The recipe's plan on this data set, without files and with the main figure alone.

        Raises `UsageError` and `PluginError` as `Recipe.build` does.
        """
        parts = {**recipe.parts, "dataset": (Part(self.dataset.name, step=self.dataset),)}
        built = replace(recipe, parts=parts).build(self.catalog)
        metrics = tuple(metric for metric in built.metrics if metric.name == MAIN_FIGURE)
        return replace(built, metrics=metrics, writers=())

    def fitting(self, recipe: Recipe) -> Recipe:
        """The recipe, without saliency and transforms where nothing reads heatmaps.

        The command line does the same as long as nobody names them. Raises as `plan` does.
        """
        try:
            self.plan(recipe)
        except PlanError as error:
            if error.unread != "heatmap":
                raise
            recipe = replace(recipe, parts={**recipe.parts, "saliency": (), "transform": ()})
            self.plan(recipe)
        return recipe

    def trial(
        self,
        recipe: Recipe,
        image: Image,
        truth: Truth | None = None,
        *,
        stopped: Stopped = None,
    ) -> Trial:
        """What the recipe makes of the image: as a run does it, and with the same randomness.

        What a step raises is told in its stage. Raises `UsageError` and `PluginError` for a recipe
        that is no plan, and `TrialCancelledError` where `stopped` says so; a step that has begun
        ends first. Values are kept by the image's identity: hand in the same object again.
        """
        with self._turn:
            return self._trial(recipe, self.plan(recipe), image, truth, stopped)

    def clicked(
        self, recipe: Recipe, image: Image, clicks: Clicks, *, stopped: Stopped = None
    ) -> Trial:
        """The same where a person asks in place of the recipe's prompters.

        Saliency and transforms take part where what follows reads them. Raises as `trial` does, and
        `PlanError` where the segmenter reads no prompts.
        """
        asking = {"prompt": (Part(clicks.name, step=clicks),)}
        try:
            fitting = self.fitting(replace(recipe, parts={**recipe.parts, **asking}))
        except PlanError as error:
            if error.unread != "prompts":
                raise
            segmenters = [part.name for part in recipe.parts.get("segmenter", ())]
            raise PlanError(
                f"{' and '.join(segmenters) or 'the segmenter'} reads no prompts, so that clicks "
                "say nothing to it; choose another segmenter, such as sam"
            ) from None
        return self.trial(fitting, image, stopped=stopped)

    def close(self) -> None:
        """Close all steps, and drop all values."""
        with self._turn:
            self.kept.clear()
            while self._steps:
                self._steps.popitem()[1][1].close()

    def __enter__(self) -> Interactive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _trial(
        self, recipe: Recipe, plan: Plan, image: Image, truth: Truth | None, stopped: Stopped
    ) -> Trial:
        start = time.perf_counter()
        asked = recipe.classes
        here = {step.key(): step for (of, _), (step, _, _) in self._steps.items() if of == asked}
        graph = Graph(here)
        branch = graph.branch(plan, candidates=True)
        steps = dict.fromkeys(step for node in branch.nodes for step in node.steps)
        unopened = self._open(steps, asked, stopped)
        working = [step for step in steps if step.key() not in unopened]
        classes = classes_for(self.dataset, asked, vocabulary_of(working))
        dataset = AskedTruth.of(self.dataset, asked, classes_of(self.dataset))
        if truth is not None and isinstance(dataset, AskedTruth):
            truth = dataset.renumbered(truth)
        task = Task(image, truth)
        work = Work(classes, recipe.seed, Observers())
        needed = set()
        for node in branch.nodes:
            key = (image, *_decided_by(node, asked, classes, recipe.seed))
            needed.add(key)
            value = self.kept.get(key)
            if value is None:
                _go_on(stopped)
                shut = next((unopened[k] for s in node.steps if (k := s.key()) in unopened), None)
                if shut is not None:
                    task.values.setdefault(node.key, shut)
                    task.done.add(node.key)
                work.evaluate(node, [task])
                value = task.values[node.key]
                if not isinstance(value, Failure):  # what fails is tried again
                    self.kept.put(key, value)
            task.values[node.key] = value
            task.done.add(node.key)
        self.kept.shrink(needed)
        self._close_spare(steps, asked)
        return _told(branch, task, time.perf_counter() - start)

    def _open(
        self, steps: Iterable[Step], asked: Sequence[str], stopped: Stopped
    ) -> dict[Hashable, Failure]:
        """Open what is not open yet; the key of each that cannot be, with the reason."""
        unopened: dict[Hashable, Failure] = {}
        for step in steps:
            key = (tuple(asked), step.key())
            if key in self._steps:
                self._steps.move_to_end(key)
                continue
            _go_on(stopped)
            with ExitStack() as stack:
                try:
                    stack.enter_context(opened([step], self.device))
                    restrict([step], asked)
                    settle([step], classes_for(self.dataset, asked, vocabulary_of([step])))
                    with blamed(step, "could not name its weight files:"):
                        files = step.weight_files().values()
                    weight = sum(path.stat().st_size for path in files)
                except (SegkitError, OSError) as error:
                    unopened[step.key()] = Failure(str(error))
                    continue
                self._steps[key] = step, stack.pop_all(), weight
        return unopened

    def _close_spare(self, used: Iterable[Step], asked: Sequence[str]) -> None:
        """Close the steps that were not used for longest, as far as the others fill the room."""
        needed = {(tuple(asked), step.key()) for step in used}
        spare = [key for key in self._steps if key not in needed]
        weight = sum(self._steps[key][2] for key in spare)
        for number, key in enumerate(spare):
            if weight <= WEIGHTS and len(spare) - number <= SPARE:
                break
            _, stack, own = self._steps.pop(key)
            stack.close()
            weight -= own


def _decided_by(
    node: Node, asked: Sequence[str], classes: Mapping[int, str], seed: int
) -> tuple[Hashable, ...]:
    """What decides a node's value on an image: its steps and inputs, and as much of the run's."""
    names = _read_by(node)
    return (
        node.key,
        tuple(asked),
        tuple(classes.items()) if "classes" in names else (),
        seed if "rng" in names else None,
    )


def _read_by(node: Node) -> frozenset[str]:
    """The names of all inputs of a node's steps, and of those before it."""
    own = {name for step in node.steps for name in asks(step).all}
    return frozenset(own).union(*map(_read_by, node.needs.values()))


def _told(branch: Branch, task: Task, seconds: float) -> Trial:
    """A trial of what is in the task."""

    def end(name: str) -> Any:
        value = task.values[branch.values[name].key] if name in branch.values else None
        return None if isinstance(value, Failure) else value

    asked = end("prompts")
    return Trial(
        task.image,
        branch.plan,
        tuple(_stages(branch, task)),
        seconds,
        asked.prompts if isinstance(asked, Asked) else None,
        end("candidates"),
        end("masks"),
        end("labels"),
        end("left_out") or 0,
        _scores(branch, task),
    )


def _scores(branch: Branch, task: Task) -> dict[str, float] | None:
    scores: dict[str, float] = {}
    for node in branch.metrics:
        counts, metric = task.values[node.key], node.steps[0]
        if isinstance(metric, Metric) and counts and not isinstance(counts, Failure):
            scores |= scores_of(metric, counts, finite=False)
    return scores or None


def _stages(branch: Branch, task: Task) -> list[Stage]:
    """The stages that were reached, each with what it made or why it made nothing."""
    stages: list[Stage] = []
    told: set[int] = set()
    hidden = 0.0  # of work that has no stage of its own
    for node in branch.nodes:
        value = task.values[node.key]
        hidden += sum(task.seconds.get(node.key, {}).values())
        if isinstance(value, Failure):
            if id(value) not in told:
                told.add(id(value))
                kind = _JOINING.get(node.role) or node.steps[0].kind
                stages.append(Stage(kind, node.steps, error=value.error, seconds=hidden))
                hidden = 0.0
            continue
        made = _stage_of(branch, node, value)
        if made is None:
            continue
        if made.again and stages and _same(stages[-1].value, made.value):
            continue
        stages.append(replace(made, seconds=hidden))
        hidden = 0.0
    return sorted(stages, key=lambda stage: [*KINDS].index(stage.kind))


def _stage_of(branch: Branch, node: Node, value: Any) -> Stage | None:
    """A node's stage; None for one that only passes on."""
    plan = branch.plan
    prompters = tuple(p for group in plan.prompters for p in group)
    if node.role == "gather":
        return Stage("prompt", prompters, value.prompts)
    if node.role == "refined_prompts":
        return Stage("prompt", prompters, value.prompts, again=True)
    if node.role == "refined_candidates":
        step = plan.judge or plan.segmenter
        return None if step is None else Stage(step.kind, (step,), value)
    if node.role == "refined_masks":
        return Stage("selector", (plan.selector,), value) if plan.selector else None
    if node.role in ("saliency", "transform", "segment", "make_masks", "make_labels"):
        return Stage(node.steps[0].kind, node.steps, value)
    return None


def _same(first: Any, second: Any) -> bool:
    """Whether these are the very same prompts."""
    return (
        isinstance(first, Prompts)
        and len(first) == len(second)
        and all(a is b for a, b in zip(first, second, strict=True))
    )
