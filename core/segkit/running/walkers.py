"""Several walkers: chunks of images are worked on at once, each by a thread with steps of its own.

A small network keeps no two cores busy, and what Python does between its operations keeps one. So
on a CPU each walker works on a chunk of its own, with its share of torch's threads; torch computes
without Python's lock. Outcomes come in the order of the images all the same.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

from segkit.memory import HostMemory
from segkit.plugins.named_files import weight_files_of
from segkit.plugins.observers import Observers
from segkit.plugins.steps import Step
from segkit.running.batches import SHARE
from segkit.running.beside import bytes_of, is_large
from segkit.running.calling import Call
from segkit.running.graph import Branch, Node
from segkit.running.reading import Chunk
from segkit.running.walk import Outcome, Walk
from segkit.running.work import Work

MOST = 4
"""So many walkers at most: they have one lock of Python, and more were never measured."""

LEAST = 4
"""So many chunks has a walker to do at least, or it is not worth that its steps are opened."""

COPIES = 1 << 28
"""Bytes that the weight files of all further walkers' steps may have: 256 MiB."""

WAITING = 2 * SHARE
"""Bytes that outcomes may take before it is their turn, so that their walker goes on: 256 MiB."""

FREE = 0.5
"""The share of the free memory that a chunk may take which is worked on beside others, where all
together take more than a chunk of one walker may."""

Opening: TypeAlias = Callable[[], AbstractContextManager[Mapping[str, Branch]]]
"""Opens the steps of a walker, in its thread; gives the work to do by the name of its outcomes."""


def walkers_for(
    steps: Sequence[Step], device: str, images: int, chunk: int, observers: Observers
) -> int:
    """How many walkers are worth it; the steps are open.

    One: on a GPU, with one thread of torch (`OMP_NUM_THREADS=1`), for few images, where a step does
    not say that it is `concurrent`, where none has weights, and where somebody watches each step.
    """
    torch = sys.modules.get("torch")
    if torch is None or device.partition(":")[0] != "cpu":
        return 1
    if not all(type(step).concurrent for step in steps):
        return 1
    if observers.heed("segkit_before_step", "segkit_after_step"):
        return 1
    files = {path for step in steps for path in weight_files_of(step).values()}
    weights = sum(path.stat().st_size for path in files)
    if not weights:
        return 1
    rooms = (MOST, torch.get_num_threads(), images // (LEAST * chunk), 1 + COPIES // weights)
    return max(1, min(rooms))


def walk_at_once(images: Walk, work: Work, openings: Sequence[Opening]) -> Iterator[Outcome]:
    """Yield what comes of each image, in order, each chunk worked on by one of several walkers.

    Each has its share of torch's threads. The first opening is the steps that are open already; a
    walker whose own cannot be opened leaves the work to the others. What a walker raises is raised
    here, behind the outcomes of all chunks before. When this generator is closed, walkers end after
    the call of a step that they are at, and no image is read any more.
    """
    import torch

    threads = torch.get_num_threads()
    share = max(1, threads // len(openings))
    walkers = _Walkers(images, work, len(openings), share)
    several = [
        threading.Thread(target=walkers.work, args=(opening,), name=f"segkit-walker-{number}")
        for number, opening in enumerate(openings)
    ]
    torch.set_num_threads(share)  # what further threads begin with
    try:
        for thread in several:
            thread.start()
        yield from walkers.outcomes()
    finally:
        walkers.stop()
        for thread in several:
            if thread.ident is not None:
                thread.join()
        walkers.close()
        torch.set_num_threads(threads)


class _StoppedError(KeyboardInterrupt):
    """The run has ended while a walker was at work; as Ctrl-C, no step's failure."""


class _Row:
    """The outcomes of one chunk."""

    def __init__(self) -> None:
        self.waiting: deque[Outcome] = deque()
        self.at_work = False
        """Whether something is being made of one of them."""
        self.complete = False
        self.fault: BaseException | None = None

    @property
    def is_done_with(self) -> bool:
        """Whether all that was added is done with."""
        return not (self.waiting or self.at_work)


class _Walkers:
    """What walkers have in common: the chunks in order, and a row of outcomes for each."""

    def __init__(self, images: Walk, work: Work, count: int, threads: int) -> None:
        self._images = images
        self._work = _Stoppable(work, self._check)
        self._chunks = images.chunks(count)
        self._threads = threads
        self._next_chunk = threading.Lock()
        self._changed = threading.Condition()
        self._rows: deque[_Row] = deque()
        self._bytes = 0
        """What outcomes take that wait."""
        self._at_work = 0
        """Bytes that chunks will take which are worked on."""
        self._ended = self._stopped = False

    # ---- in the walkers' threads ---------------------------------------------------------------

    def work(self, opening: Opening) -> None:
        """Work on chunks as long as there are any."""
        import torch

        torch.set_num_threads(self._threads)  # of this thread: OpenMP's and MKL's are a thread's
        try:
            with opening() as branches:
                while (turn := self._begun()) is not None:
                    self._fill(*turn, branches)
        except Exception:  # of opening or closing: the other walkers do the work
            return

    def _begun(self) -> tuple[_Row, Chunk, int] | None:
        """The next chunk, where its outcomes belong, and the bytes it takes; None: there is none.

        Whoever has it waits here until there is room for it.
        """
        with self._next_chunk:
            if self._ended or self._stopped:
                return None
            row = _Row()
            try:
                chunk = next(self._chunks, None)
            except BaseException as error:
                chunk, row.fault, row.complete = None, error, True
            with self._changed:
                self._ended = chunk is None
                if chunk is not None or row.complete:
                    self._rows.append(row)
                self._changed.notify_all()
                if chunk is None:
                    return None
                weight = self._images.weight(chunk)
                self._changed.wait_for(lambda: self._stopped or self._has_room(weight))
                self._at_work += weight
            return row, chunk, weight

    def _has_room(self, weight: int) -> bool:
        """Whether a chunk may be worked on beside those that are: of large images mostly one is."""
        if not self._at_work or self._at_work + weight <= self._images.batches.host_bytes:
            return True
        free = HostMemory().free()
        return free is not None and weight <= FREE * free

    def _fill(self, row: _Row, chunk: Chunk, weight: int, branches: Mapping[str, Branch]) -> None:
        fault: BaseException | None = None
        try:
            for outcome in self._images.outcomes(chunk, branches, self._work):
                self._add(row, outcome)
        except BaseException as error:  # raised again by the thread that gets the outcomes
            fault = error
        with self._changed:
            row.fault, row.complete = fault, True
            self._at_work -= weight
            self._changed.notify_all()

    def _add(self, row: _Row, outcome: Outcome) -> None:
        """Add an outcome; return when there is room for the next.

        After a large one, which a step of this walker may make anew, that is when it is done with.
        """
        large = is_large(outcome)
        with self._changed:
            row.waiting.append(outcome)
            self._bytes += bytes_of(outcome)
            self._changed.notify_all()
            del outcome
            self._changed.wait_for(
                lambda: (
                    self._stopped
                    or row.is_done_with
                    or not (large or (row.waiting and self._bytes > WAITING))
                )
            )

    def _check(self) -> None:
        if self._stopped:
            raise _StoppedError

    # ---- in the thread that gets the outcomes --------------------------------------------------

    def outcomes(self) -> Iterator[Outcome]:
        """All outcomes, row by row."""
        while (row := self._first()) is not None:
            while (outcome := self._taken(row)) is not None:
                yield outcome
                del outcome  # its arrays go before the next comes
            if row.fault is not None:
                raise row.fault

    def stop(self) -> None:
        """Have the walkers end."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def close(self) -> None:
        """Read no more images; the walkers have ended."""
        self._chunks.close()

    def _first(self) -> _Row | None:
        """The next chunk's row; None: there is none any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._rows or self._ended)
            return self._rows.popleft() if self._rows else None

    def _taken(self, row: _Row) -> Outcome | None:
        """The row's next outcome, now that the one before is done with; None: there is none."""
        with self._changed:
            row.at_work = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: row.waiting or row.complete)
            if not row.waiting:
                return None
            outcome = row.waiting.popleft()
            self._bytes -= bytes_of(outcome)
            row.at_work = True
            self._changed.notify_all()
            return outcome


class _Stoppable(Work):
    """Work that asks before each call of a step whether it is still wanted.

    A large image has one for each of its tiles.
    """

    def __init__(self, work: Work, check: Callable[[], None]) -> None:
        super().__init__(work.classes, work.seed, work.observers, work.batches)
        self._check = check

    def _block(
        self, node: Node, step: Step, calls: Sequence[Call], method: str | None
    ) -> list[Any]:
        self._check()
        return super()._block(node, step, calls, method)
