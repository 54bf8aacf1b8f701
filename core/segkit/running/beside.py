"""What is made of outcomes is made beside the work: in a thread of its own, one after another.

Files are encoded and written there while the next images are worked on. Nothing else changes: lines
come in the order of the outcomes, and a writer is never called twice at once.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import TypeAlias

from segkit.running.batches import SHARE
from segkit.running.calling import waiting_bytes
from segkit.running.lines import Line
from segkit.running.walk import Outcome

Finished: TypeAlias = "tuple[str, Line]"
"""A recipe and an image's line."""

Lines: TypeAlias = Callable[[Iterator[Outcome]], Iterator[Finished]]
"""Makes lines of outcomes, and writes their files."""


def beside(outcomes: Iterator[Outcome], lines: Lines, most: int) -> Iterator[Finished]:
    """What `lines` makes of the outcomes, while the next of them are worked out by this thread.

    At most `most` outcomes wait for it; while it has one of large values, no other is worked out.
    What either of them raises is raised here, when all that was finished before has been given.
    """
    writing = _Writing(lines, most)
    try:
        for outcome in outcomes:
            writing.give(outcome)
            yield from writing.finished()
        writing.finish()
    except GeneratorExit:  # nobody takes what would be finished
        writing.stop()
        raise
    except BaseException:
        writing.end()
        yield from writing.finished()
        raise
    yield from writing.finished()


class _Writing:
    """A thread that makes lines of the outcomes that it is given."""

    def __init__(self, lines: Lines, most: int) -> None:
        self._lines = lines
        self._most = most
        self._outcomes: deque[Outcome] = deque()
        self._finished: deque[Finished] = deque()
        self._changed = threading.Condition()
        self._busy = self._ending = False
        self._fault: BaseException | None = None
        self._thread: threading.Thread | None = None

    def give(self, outcome: Outcome) -> None:
        """Add an outcome when there is room for it. Raises what `lines` has raised."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="segkit-writer")
            self._thread.start()
        with self._changed:
            self._wait(lambda: len(self._outcomes) < self._most)
            self._outcomes.append(outcome)
            self._changed.notify_all()
            if _is_large(outcome):
                self._wait(lambda: not (self._outcomes or self._busy))

    def finished(self) -> Iterator[Finished]:
        """The lines that were finished since they were last asked for."""
        while self._finished:
            yield self._finished.popleft()

    def finish(self) -> None:
        """Return when a line is made of every outcome. Raises what `lines` has raised."""
        self.end()
        if self._fault is not None:
            raise self._fault

    def end(self) -> None:
        """The same, without raising it."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def stop(self) -> None:
        """Return as soon as the outcome that it is at is done; the others are dropped."""
        self._outcomes.clear()
        self.end()

    def _wait(self, ready: Callable[[], bool]) -> None:
        self._changed.wait_for(lambda: self._fault is not None or ready())
        if self._fault is not None:
            raise self._fault

    def _work(self) -> None:
        try:
            for line in self._lines(self._coming()):
                self._finished.append(line)
        except BaseException as error:  # raised again by the thread that gives
            with self._changed:
                self._fault = error
                self._outcomes.clear()
                self._changed.notify_all()

    def _coming(self) -> Iterator[Outcome]:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._outcomes or self._ending)
                if not self._outcomes:
                    return
                self._busy = True
                outcome = self._outcomes.popleft()
                self._changed.notify_all()
            yield outcome
            del outcome  # its arrays go before the next comes


def _is_large(outcome: Outcome) -> bool:
    """Whether its values take much memory, or are made anew by steps where they are read."""
    values = (*outcome.heatmaps, outcome.masks, outcome.candidates)
    pixels = 0 if outcome.image is None else outcome.image.pixels.nbytes
    deferred = any(heatmap._is_deferred for heatmap in outcome.heatmaps)
    return deferred or pixels + waiting_bytes(values) > SHARE
