"""What is made of outcomes is made beside the work: in a thread of its own, one after another.

Files are encoded and written there while the next images are worked on. Nothing else changes: lines
come in the order of the outcomes, each is kept as soon as it is made, and a writer is never called
twice at once.
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

Lines: TypeAlias = Callable[[Iterator[Outcome]], "Iterator[tuple[str, Line]]"]
"""Makes lines of outcomes, with the recipe of each, and writes their files."""

TOGETHER = 4 * SHARE
"""Bytes that several outcomes may take while they wait: 512 MiB."""

Keep: TypeAlias = Callable[[str, Line], None]
"""Takes a recipe and a line."""


def beside(outcomes: Iterator[Outcome], lines: Lines, keep: Keep, most: int) -> None:
    """Keep what `lines` makes of the outcomes, while the next of them are worked out here.

    `lines` and `keep` are called by another thread. At most `most` outcomes wait for it, and fewer
    where they are large; while it has one of very large values, no other is worked out. What any of
    the three raises is raised here: what `outcomes` does when a line of all that was worked out is
    kept.
    """
    writing = _Writing(lines, keep, most)
    try:
        for outcome in outcomes:
            writing.give(outcome)
    finally:
        writing.end()
    writing.check()


class _Writing:
    """A thread that makes lines of the outcomes that it is given."""

    def __init__(self, lines: Lines, keep: Keep, most: int) -> None:
        self._lines = lines
        self._keep = keep
        self._most = most
        self._outcomes: deque[Outcome] = deque()
        self._changed = threading.Condition()
        self._busy = self._ending = False
        self._fault: BaseException | None = None
        self._thread: threading.Thread | None = None

    def give(self, outcome: Outcome) -> None:
        """Add an outcome when there is room for it. Raises what the thread has raised."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="segkit-writer")
            self._thread.start()
        with self._changed:
            self._wait(lambda: not self._outcomes or self._has_room(outcome))
            self._outcomes.append(outcome)
            self._changed.notify_all()
            if is_large(outcome):
                self._wait(lambda: not (self._outcomes or self._busy))

    def end(self) -> None:
        """Return when a line is made of every outcome, or none can be made any more."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def check(self) -> None:
        """Raise what the thread has raised."""
        if self._fault is not None:
            raise self._fault

    def _wait(self, ready: Callable[[], bool]) -> None:
        self._changed.wait_for(lambda: self._fault is not None or ready())
        self.check()

    def _has_room(self, outcome: Outcome) -> bool:
        """Whether one more may wait with those that do."""
        taken = sum(map(bytes_of, (*self._outcomes, outcome)))
        return len(self._outcomes) < self._most and taken <= TOGETHER

    def _work(self) -> None:
        try:
            for recipe, line in self._lines(self._coming()):
                self._keep(recipe, line)
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


def is_large(outcome: Outcome) -> bool:
    """Whether its values take much memory, or are made anew by steps where they are read."""
    return any(heatmap._is_deferred for heatmap in outcome.heatmaps) or bytes_of(outcome) > SHARE


def bytes_of(outcome: Outcome) -> int:
    """What an outcome's values take in memory."""
    truth, labels = outcome.truth, outcome.labels
    arrays = (
        outcome.image.pixels if outcome.image else None,
        labels.ids if labels else None,
        truth.labels.ids if truth else None,
        truth.instances if truth else None,
    )
    waiting = waiting_bytes((*outcome.heatmaps, outcome.masks, outcome.candidates))
    return waiting + sum(array.nbytes for array in arrays if array is not None)
