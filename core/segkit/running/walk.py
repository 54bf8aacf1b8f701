"""Walking the images: read ahead, worked on chunk by chunk, each value dropped when it is read.

Writes nothing: what comes of each image goes on as an `Outcome`.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from segkit.deprecations import SegkitWarning
from segkit.errors import SegkitError, plugin_code
from segkit.plugins.contract import blamed, scores_of, why_failed
from segkit.plugins.steps import Dataset, Step
from segkit.running.batches import Batches
from segkit.running.calling import Failure, Task, waiting_bytes
from segkit.running.graph import Branch
from segkit.running.pins import check_pins
from segkit.running.prompting import Asked
from segkit.running.reading import Chunk, read_ahead, readers_for
from segkit.running.work import Work
from segkit.values.types import Counts, Heatmap, Image, Labels, Masks, Prompts, Scores, Truth


@dataclass(frozen=True)
class Outcome:
    """What one plan made of one image."""

    recipe: str
    """The plan's name."""
    name: str
    """The image's name."""
    error: str | None = None
    """Why the image failed, as a sentence; None if it did not."""
    image: Image | None = None
    """None for one that could not be read."""
    truth: Truth | None = None
    heatmaps: tuple[Heatmap, ...] = ()
    prompts: Prompts | None = None
    masks: Masks | None = None
    candidates: Masks | None = None
    """The masks before selection, if they were asked for."""
    labels: Labels | None = None
    left_out: int = 0
    """How many masks were judged too weak for `least_quality` of the plan."""
    counts: Mapping[str, Counts] = field(default_factory=dict)
    """Metric name to its counts."""
    scores: Scores = field(default_factory=dict)
    """The figures of the metrics that counted something."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Step name to seconds; work that plans share counts for each of them."""


class Walk:
    """Images on their way: read ahead in chunks, in order, for one walker or several.

    A chunk has as many images as `batches` says, and fewer where they are large. `names` are the
    images' names; `skip` those that one of the `branches` need not do.
    """

    def __init__(
        self,
        dataset: Dataset,
        names: Sequence[str],
        skip: Mapping[str, Collection[str]],
        branches: Mapping[str, Branch],
        batches: Batches,
    ) -> None:
        self.dataset = dataset
        self.names = names
        self.batches = batches
        self.wanted = [
            i for i, name in enumerate(names) if any(name not in skip.get(b, ()) for b in branches)
        ]
        """The places of the images that somebody has to do."""
        self._skip = skip
        self._uses = _uses(branches.values())
        self._load = _Load()
        self._readers = readers_for(dataset)  # before walkers share torch's threads

    def chunks(self, walkers: int = 1) -> Generator[Chunk, None, None]:
        """What is to be worked on together; as many walkers share the memory, and read ahead."""
        load = self._load.of
        return read_ahead(
            self.dataset, self.names, self.wanted, self.batches, load, walkers, self._readers
        )

    def weight(self, chunk: Chunk) -> int:
        """The bytes that a chunk will take while it is worked on."""
        return round(sum(map(self._load.of, chunk.values())))

    def outcomes(
        self, chunk: Chunk, branches: Mapping[str, Branch], work: Work
    ) -> Iterator[Outcome]:
        """What each branch makes of a chunk; what branches have in common is computed once.

        They are those that were given, or others of the same plans; their steps are open. What is
        no longer needed is freed. One image that fails does not stop the others.
        """
        work.batches.begin()
        for place in chunk:
            work.observers.tell("segkit_before_image", name=self.names[place])
        for recipe, branch in branches.items():
            skipped = self._skip.get(recipe, ())
            todo = {i: task for i, task in chunk.items() if self.names[i] not in skipped}
            good = [task for task in todo.values() if isinstance(task, Task)]
            _evaluate(work, branch, good, self._uses)
            self._load.note(good)
            for i, task in todo.items():
                if isinstance(task, Failure):
                    yield Outcome(recipe, self.names[i], error=task.error)
                else:
                    yield _outcome(recipe, branch, task)
                    _release(task, (n.key for n in _ends(branch)), self._uses)
        work.batches.end(len(chunk))


def walk(images: Walk, branches: Mapping[str, Branch], work: Work) -> Iterator[Outcome]:
    """Yield what each branch makes of each image, chunk by chunk, in this thread.

    Steps work on a chunk together, so memory does not grow with the data set.
    """
    for chunk in images.chunks():
        yield from images.outcomes(chunk, branches, work)


@contextmanager
def opened(steps: Sequence[Step], device: str) -> Iterator[None]:
    """Open each step once, and close all in the end, whatever happens."""
    with ExitStack() as stack:
        for step in steps:
            # Closed even if opening fails halfway: part of it may have been loaded.
            stack.callback(_close, step)
            with blamed(step, f"could not be opened on {device}:"):
                step.open(device)
            check_pins(step)
        yield


def _close(step: Step) -> None:
    """Close a step; the work is done by then, so what it raises is only told."""
    try:
        with plugin_code():
            step.close()
    except Exception as error:
        warnings.warn(why_failed(step, error, "could not be closed:"), SegkitWarning, stacklevel=2)


class _Load:
    """How many bytes an image takes for each of its pixels, by what the images before it took."""

    def __init__(self) -> None:
        self.bytes_per_pixel = 32.0
        """Picture, class map, truth, a heatmap, and a few masks."""

    def note(self, tasks: Sequence[Task]) -> None:
        """Note what images take that have been worked on."""
        for task in tasks:
            height, width = task.image.size
            taken = sum(map(waiting_bytes, task.values.values())) / (height * width)
            self.bytes_per_pixel = max(self.bytes_per_pixel, taken)

    def of(self, task: Task | Failure) -> float:
        """The bytes that an image will take."""
        if isinstance(task, Failure):
            return 0
        height, width = task.image.size
        return self.bytes_per_pixel * height * width


def _ends(branch: Branch) -> list[Any]:
    return [*branch.values.values(), *branch.metrics]


def _uses(branches: Iterable[Branch]) -> Counter[str]:
    """How many nodes and plans read each node's value."""
    uses: Counter[str] = Counter()
    seen: set[str] = set()
    for branch in branches:
        for node in branch.nodes:
            if node.key not in seen:
                seen.add(node.key)
                uses.update(need.key for need in node.needs.values())
        uses.update(node.key for node in _ends(branch))
    return uses


def _evaluate(work: Work, branch: Branch, tasks: Sequence[Task], uses: Counter[str]) -> None:
    """Do a branch's work, freeing each value after its last reader."""
    for node in branch.nodes:
        fresh = [t for t in tasks if node.key not in t.done]
        work.evaluate(node, fresh)
        for task in fresh:
            _release(task, (need.key for need in node.needs.values()), uses)


def _release(task: Task, keys: Iterable[str], uses: Counter[str]) -> None:
    """Note that these values were read, and drop those that nobody else will read."""
    for key in keys:
        task.reads[key] += 1
        if task.reads[key] == uses[key]:
            del task.values[key]


def _outcome(recipe: str, branch: Branch, task: Task) -> Outcome:
    values = {name: task.values[node.key] for name, node in branch.values.items()}
    counts = {node.steps[0].name: task.values[node.key] for node in branch.metrics}
    failed = next((v for v in (*values.values(), *counts.values()) if isinstance(v, Failure)), None)
    seconds: dict[str, float] = {}
    for node in branch.nodes:
        for step, spent in task.seconds.get(node.key, {}).items():
            seconds[step] = seconds.get(step, 0.0) + spent
    read = Outcome(recipe, task.image.name, image=task.image, truth=task.truth, seconds=seconds)
    if failed is not None:
        return replace(read, error=failed.error)
    scores: Scores = {}
    try:
        for node in branch.metrics:  # by the thread that counts: no step is called by two
            metric: Any = node.steps[0]
            if counts[metric.name]:
                scores |= scores_of(metric, counts[metric.name])
    except SegkitError as problem:
        return replace(read, error=str(problem))
    asked = values.get("prompts")
    return replace(
        read,
        heatmaps=values.get("heatmaps", ()),
        prompts=asked.prompts if isinstance(asked, Asked) else None,
        masks=values.get("masks"),
        candidates=values.get("candidates"),
        labels=values.get("labels"),
        left_out=values.get("left_out", 0),
        counts=counts,
        scores=scores,
    )
