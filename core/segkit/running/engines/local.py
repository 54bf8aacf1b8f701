"""The engine `local`: this process walks the images, chunk by chunk; on a CPU several at once."""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from typing import Any

from segkit.plugins.contract import classes_of, made_again
from segkit.plugins.observers import Observers
from segkit.running.asked import AskedTruth, restrict, settle, vocabulary_of
from segkit.running.batches import Batches
from segkit.running.beside import beside
from segkit.running.graph import Branch, Graph
from segkit.running.job import Job, Skip, Write
from segkit.running.lines import Line
from segkit.running.options import RunOptions
from segkit.running.walk import Outcome, Walk, opened, walk
from segkit.running.walkers import Opening, walk_at_once, walkers_for
from segkit.running.work import Work
from segkit.running.writing import Writing


class Opened:
    """A job whose steps are open in this process."""

    def __init__(self, job: Job, options: RunOptions, observers: Observers) -> None:
        self.job = job
        self.graph = Graph()
        self.branches = job.branches(self.graph)
        self.batches = Batches(options.chunk, options.device)
        self.vocabulary: Sequence[str] = ()
        """The classes that the steps are limited to."""
        self._asked, self._device = tuple(options.classes), options.device
        classes = job.classes(options.classes)
        self._work = Work(classes, options.seed, observers, self.batches)

    def settle(self) -> None:
        """Once the steps are open: agree with them on the classes."""
        steps = [*self.graph.steps.values()]
        restrict(steps, self._asked)
        self.vocabulary = vocabulary_of(steps)
        self._work.classes = self.job.classes(self._asked, self.vocabulary)
        settle(steps, self.classes)

    @contextmanager
    def again(self) -> Iterator[Mapping[str, Branch]]:
        """The same work by steps of its own, opened as these are, for another thread."""
        steps = {key: made_again(step) for key, step in self.graph.steps.items()}
        with opened([*steps.values()], self._device):
            restrict(steps.values(), self._asked)
            settle(steps.values(), self.classes)
            yield self.job.branches(Graph(steps))

    def turned_to(self, job: Job, chunk: int | None = None) -> Opened:
        """The same open steps for another job of the same plans, such as one of other images."""
        other = copy.copy(self)
        other.job = job
        if chunk is not None:
            other.batches = Batches(chunk, self._device)
        classes = job.classes(self._asked, self.vocabulary)
        other._work = Work(classes, self._work.seed, self._work.observers, other.batches)
        return other

    @property
    def classes(self) -> dict[int, str]:
        """{id: name} of the run."""
        return self._work.classes

    @property
    def workers(self) -> Sequence[Mapping[str, Any]]:
        """None: this process is no worker."""
        return ()

    def outcomes(self, names: Sequence[str], done: Skip) -> Iterator[Outcome]:
        """What comes of the images of these names, without those that a recipe has done."""
        return walk(self._images(names, done), self.branches, self._work)

    def lines(self, names: Sequence[str], done: Skip, write: Write) -> Iterator[tuple[str, Line]]:
        """Each finished line with its recipe, made by this thread."""
        return self.job.lines(self.outcomes(names, done), write)

    def walk(self, names: Sequence[str], done: Skip, write: Writing) -> None:
        """Keep each finished line; files are written beside the next images' work."""
        make = partial(self.job.lines, write=write)
        # Closed before the steps are: no thread works with them any more.
        with closing(self._at_once(self._images(names, done))) as outcomes:
            beside(outcomes, make, write.keep, self.batches.images)

    def _images(self, names: Sequence[str], done: Skip) -> Walk:
        dataset, labels = self.job.places(names)
        dataset = AskedTruth.of(dataset, self._asked, classes_of(self.job.dataset))
        return Walk(dataset, labels, self.job.skip(done), self.branches, self.batches)

    def _at_once(self, images: Walk) -> Generator[Outcome, None, None]:
        """What comes of them, by as many walkers as are worth it."""
        steps = [*self.graph.steps.values()]
        count = walkers_for(
            steps, self._device, len(images.wanted), self.batches.images, self._work.observers
        )
        if count == 1:
            yield from walk(images, self.branches, self._work)
        else:
            openings: list[Opening] = [lambda: nullcontext(self.branches)]
            openings += [self.again] * (count - 1)
            yield from walk_at_once(images, self._work, openings)


class Local:
    """Walks the images in this process."""

    @contextmanager
    def opened(self, job: Job, options: RunOptions, observers: Observers) -> Iterator[Opened]:
        """Open each step once; all are closed in the end, whatever happens."""
        here = Opened(job, options, observers)
        with opened([*job.steps, *here.graph.steps.values()], options.device):
            here.settle()
            yield here
