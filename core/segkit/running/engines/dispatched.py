"""The engines whose workers are elsewhere: one dispatcher, whatever pool they are of."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from segkit.plugins.contract import names_of
from segkit.plugins.observers import Observers
from segkit.running.engines.dispatch import Dispatcher, Seat, Work
from segkit.running.engines.parcel import Chunk, Item, check_plugins, packed, sameness, with_plugins
from segkit.running.engines.pool import Pool, RefusalError
from segkit.running.job import Job, Skip
from segkit.running.options import RunOptions
from segkit.running.writing import Writing

TOGETHER = 16
"""Images of a chunk, unless something else is asked for."""


class Dispatched:
    """Has the images walked by the workers of a pool."""

    def __init__(
        self, pool: Callable[[], Pool], chunk: int = TOGETHER, *, apart: bool = False
    ) -> None:
        """`pool` makes it when a run begins; `chunk`: how many images a worker gets at once.

        `apart`: its workers are other processes, which find steps by the names of plugins alone.
        """
        self._apart = apart
        self._pool = pool
        self._chunk = chunk

    @contextmanager
    def opened(self, job: Job, options: RunOptions, observers: Observers) -> Iterator[_There]:
        """Have workers open the steps; from then on, they come and go as the pool has it."""
        catalog = with_plugins(job, options.catalog)
        if self._apart:
            check_plugins(job, catalog)
        options = replace(options, catalog=catalog)
        parcel, same = packed(job, options), sameness(job, options)

        def changed(seat: Seat) -> None:
            observers.tell(
                "segkit_worker_changed",
                worker=seat.number,
                host=seat.host,
                images=seat.images,
                deaths=seat.deaths,
                busy_seconds=seat.busy,
            )

        dispatcher = Dispatcher(self._pool(), parcel, same, changed)
        well = False
        try:
            yield _There(job, dispatcher, observers, self._chunk)
            well = True
        finally:
            dispatcher.close(at_once=not well)


class _There:
    """A job whose steps workers have opened."""

    def __init__(self, job: Job, dispatcher: Dispatcher, observers: Observers, chunk: int) -> None:
        told = dispatcher.until_ready()
        self.classes: Mapping[int, str] = told["classes"]
        self.vocabulary: Sequence[str] = told["vocabulary"]
        self._together: int = told["chunk"]
        self._job = job
        self._dispatcher = dispatcher
        self._observers = observers
        self._chunk = chunk

    @property
    def workers(self) -> list[dict[str, Any]]:
        """What the workers have done so far; see `records.WorkerRecord`."""
        return [seat.told() for seat in self._dispatcher.seats]

    def walk(self, names: Sequence[str], done: Skip, write: Writing) -> None:
        """Keep each line, as workers finish it."""
        job, recipes = self._job, tuple(self._job.plans)
        leading = -1

        def items() -> Iterator[Item]:
            for place, (own, name) in enumerate(zip(names_of(job.dataset), names, strict=True)):
                left = tuple(r for r in recipes if name not in done[r])
                if left:
                    yield Item(place, own, name, left, write.has_files(name))

        def begin(chunk: Chunk) -> Chunk:
            nonlocal leading
            for item in chunk.items:
                self._observers.tell("segkit_before_image", name=item.name)
                for recipe in item.recipes:
                    write.begin(recipe, item.name)
            if job.led() or leading in work.handed_out:
                return chunk
            leading = chunk.number
            return replace(chunk, leads=True)

        left = sum(any(name not in done[r] for r in recipes) for name in names)
        sizes = self._chunk, min(self._chunk, self._together)
        work = Work(items(), left, sizes, begin, write.lost)
        try:
            for recipe, line in self._dispatcher.lines(work):
                job.led(line)
                write.keep(recipe, write.sourced(recipe, line))
        except RefusalError as why:
            with write.kept(why.recipe):
                raise OSError(why.disk, os.strerror(why.disk)) from None
