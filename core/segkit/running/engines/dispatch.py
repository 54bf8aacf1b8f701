"""The dispatcher: hands chunks of images to the workers of a pool, and copes with their deaths.

A worker is waited for until it is ready. It has two chunks at most, so that it never waits for the
next. Where it dies, the chunk that it was at is split and its images are tried one by one: whoever
is there when the third worker dies is the cause, and fails with a sentence.
"""

from __future__ import annotations

import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count, islice
from typing import Any

from segkit.deprecations import SegkitWarning
from segkit.errors import SegkitError, UsageError
from segkit.running.engines.parcel import WEIGHTS, Chunk, Item, Parcel, difference
from segkit.running.engines.pool import Died, Event, Hello, Made, Pool, Ready, Refused
from segkit.running.lines import Line

DEATHS = 3
"""So many workers may die of an image."""

AHEAD = 2
"""Chunks that a worker has: the one that it works on, and the next."""

ALONE = 60.0
"""Seconds without a worker that lives, after which a run stops."""

PAUSE = 5.0
"""Seconds until a worker is started again that has died before it was ready, while others work."""

POLL = 0.5


@dataclass
class Seat:
    """A worker's place, which another one takes when it dies."""

    number: int
    worker: int = -1
    """The number of the worker; -1: none."""
    state: str = "gone"
    """`gone`, `asked for`, `alive` or `ready`."""
    host: str = ""
    flight: deque[Chunk] = field(default_factory=deque)
    """What the worker has, the chunk that it works on first."""
    images: int = 0
    deaths: int = 0
    busy: float = 0.0
    """Seconds that its workers worked."""
    there: float = 0.0
    """Seconds that they were ready, up to `since`."""
    since: float = 0.0

    def told(self) -> dict[str, Any]:
        """What summary.json says of it."""
        there = self.there + (time.monotonic() - self.since if self.state == "ready" else 0.0)
        return {
            "worker": self.number,
            "host": self.host,
            "images": self.images,
            "deaths": self.deaths,
            "busy_seconds": round(self.busy, 3),
            "idle_seconds": round(max(there - self.busy, 0.0), 3),
        }


class Dispatcher:
    """Workers of one pool at one parcel. `same`: what each of them has to have alike."""

    def __init__(
        self,
        pool: Pool,
        parcel: Parcel,
        same: Mapping[str, str],
        changed: Callable[[Seat], None] = lambda seat: None,
    ) -> None:
        """`changed` is told of each worker that is ready, has done a chunk or has died."""
        self._changed = changed
        self._pool = pool
        self._parcel = parcel
        self._same = dict(same)
        self._fetched = False
        """Whether a worker has said which weights its steps have fetched."""
        self.seats: list[Seat] = []
        self._numbers = count()
        self._start_deaths = 0
        """How many workers in a row have died before they were ready."""
        self._not_before = 0.0
        self._lived = time.monotonic()
        """When a worker was last known to live."""
        self._heard: set[str] = set()

    def until_ready(self) -> Mapping[str, Any]:
        """What the first worker that is ready says of the steps.

        Raises `SegkitError` where it cannot open them, is of another version, or none comes.
        """
        while True:
            self._staff()
            for event in [*self._poll()]:
                if isinstance(event, Ready):
                    return event.told
                assert isinstance(event, Hello | Died)

    def lines(self, work: Work) -> Iterator[tuple[str, Line]]:
        """Each line of the work with its recipe, once."""
        while True:
            if work.is_left:
                self._staff()
            for seat in self.seats:
                while seat.state == "ready" and len(seat.flight) < AHEAD:
                    if (chunk := work.take(len(self.seats))) is None:
                        break
                    seat.flight.append(chunk)
                    self._pool.submit(seat.worker, chunk)
            if not work.is_left and not any(seat.flight for seat in self.seats):
                return
            for event in self._poll():
                if isinstance(event, Made):
                    yield from self._made(event, work)
                elif isinstance(event, Died):
                    yield from self._mourned(event, work)

    def close(self, *, at_once: bool) -> None:
        """End all workers."""
        self._pool.close(at_once=at_once)

    # ---- workers -------------------------------------------------------------------------------

    def _staff(self) -> None:
        """Start the workers that are missing."""
        while len(self.seats) < self._pool.wanted():
            self.seats.append(Seat(len(self.seats) + 1))
        if time.monotonic() < self._not_before:
            return
        gone = [seat for seat in self.seats if seat.state == "gone"]
        missing = self._pool.wanted() - (len(self.seats) - len(gone))
        for seat in gone[: max(missing, 0)]:
            seat.worker, seat.state = next(self._numbers), "asked for"
            self._pool.start(seat.worker)

    def _poll(self) -> Iterator[Event]:
        """What has happened; workers that come are looked at, and have the parcel.

        Lines come first, so that none is lost where another event ends the run.
        """
        for event in sorted(self._pool.poll(POLL), key=lambda event: not isinstance(event, Made)):
            seat = self._seat(event.worker)
            if isinstance(event, Refused):
                raise event.why if event.why.disk else event.why.error
            if isinstance(event, Hello):
                seat.host = str(event.told.get("host"))
                mine, other = self._same["segkit"], str(event.told.get("segkit"))
                self._check({"segkit": other}, {"segkit": mine}, seat)
                seat.state = "alive"
                self._pool.open(seat.worker, self._parcel)
            elif isinstance(event, Ready):
                self._check_ready(event.told["same"], seat)
                seat.state, seat.since = "ready", time.monotonic()
                self._start_deaths = 0
                self._changed(seat)
            elif isinstance(event, Died):
                self._buried(event, seat)
            yield event
        if any(seat.state in ("alive", "ready") for seat in self.seats):
            self._lived = time.monotonic()
        elif time.monotonic() - self._lived > ALONE:
            raise SegkitError(
                f"there has been no worker for {ALONE:.0f} seconds; finished images are kept: see "
                "that there are machines, and go on with --resume"
            )

    def _check_ready(self, there: Mapping[str, str], seat: Seat) -> None:
        """The first worker says what steps fetch when they are opened, which is not here."""
        if not self._fetched:
            weights = {what: value for what, value in there.items() if what.startswith(WEIGHTS)}
            self._same = weights | self._same
            self._fetched = True
        self._check(there, self._same, seat)

    def _check(self, there: Mapping[str, str], here: Mapping[str, str], seat: Seat) -> None:
        why = difference(here, there, seat.host)
        if why is not None:
            raise UsageError(why)

    def _buried(self, event: Died, seat: Seat) -> None:
        """Note a death; where workers die before they are ready, there is no use in more."""
        seat.deaths += 1
        if seat.state == "ready":
            seat.there += time.monotonic() - seat.since
        else:
            self._start_deaths += 1
            if any(other.state == "ready" for other in self.seats):
                self._not_before = time.monotonic() + PAUSE
            elif self._start_deaths >= DEATHS:
                raise SegkitError(
                    f"workers cannot be started: {self._start_deaths} have died before they were "
                    f"ready ({event.why}); try fewer of them, or --engine local"
                )
        seat.state = "gone"
        self._changed(seat)

    def _seat(self, worker: int) -> Seat:
        return next(seat for seat in self.seats if seat.worker == worker)

    # ---- chunks --------------------------------------------------------------------------------

    def _made(self, event: Made, work: Work) -> Iterator[tuple[str, Line]]:
        """The lines of a chunk, as many as there are of it by now."""
        for sentence in event.heard:
            if sentence not in self._heard:
                self._heard.add(sentence)
                warnings.warn(sentence, SegkitWarning, stacklevel=2)
        seat = self._seat(event.worker)
        chunk = seat.flight[0]
        assert chunk.number == event.number  # they come in the order in which they went
        for recipe, line in event.lines:
            if work.keep(recipe, line):
                yield recipe, line
        if event.done:
            seat.flight.popleft()
            seat.images += len(chunk.items)
            seat.busy += event.busy
            self._changed(seat)
            work.end(chunk)

    def _mourned(self, event: Died, work: Work) -> Iterator[tuple[str, Line]]:
        """What a dead worker had goes back; the images that have seen too many deaths fail."""
        seat = self._seat(event.worker)
        if seat.flight:
            yield from work.split(seat.flight.popleft(), event.why)
            work.give_back(seat.flight)
            seat.flight.clear()


class Work:
    """The images to do, as chunks."""

    def __init__(
        self,
        items: Iterator[Item],
        total: int,
        sizes: tuple[int, int],
        begin: Callable[[Chunk], Chunk],
        lost: Callable[[str, str, str], Line],
    ) -> None:
        """`items`: the images, `total` of them; `sizes`: of a chunk, at most and at least.

        All but the last chunk are a multiple of the least, which is what steps work on together:
        what networks make of an image differs in its last digits with its company.

        `begin` is told of each chunk before a worker has it, and may change it; `lost` makes the
        line of a recipe and an image that fails with a sentence.
        """
        self._items = items
        self._untouched = total
        self._most, self._least = sizes
        self._begin = begin
        self._lost = lost
        self._back: deque[tuple[Item, ...]] = deque()
        """What has been handed out in vain, first to be done."""
        self._numbers = count()
        self._open: dict[str, set[str]] = {}
        """Image that a worker has to the recipes whose line it lacks."""
        self._deaths: Counter[str] = Counter()
        self.handed_out: set[int] = set()
        """The numbers of the chunks that workers have."""

    @property
    def is_left(self) -> bool:
        """Whether there is something to hand out."""
        return bool(self._back) or self._untouched > 0

    def take(self, workers: int) -> Chunk | None:
        """The next chunk; the last ones are smaller, so that all workers end together."""
        if self._back:
            items = self._back.popleft()
        elif self._untouched:
            share = self._untouched // (AHEAD * 2 * workers)
            size = min(self._most, share) // self._least * self._least
            items = tuple(islice(self._items, max(size, self._least)))
            self._untouched -= len(items)
        else:
            return None
        for item in items:
            self._open.setdefault(item.name, {*item.recipes})
        chunk = self._begin(Chunk(next(self._numbers), items))
        self.handed_out.add(chunk.number)
        return chunk

    def keep(self, recipe: str, line: Line) -> bool:
        """Whether a line is one that was waited for."""
        left = self._open.get(line["name"], set())
        if recipe not in left:
            return False
        left.remove(recipe)
        return True

    def end(self, chunk: Chunk) -> None:
        """A chunk is done."""
        self.handed_out.remove(chunk.number)
        for item in chunk.items:
            left = self._open.pop(item.name)
            assert not left  # each image has a line for each recipe, whatever happens to it

    def give_back(self, chunks: deque[Chunk]) -> None:
        """Chunks that nobody has begun."""
        self.handed_out.difference_update(chunk.number for chunk in chunks)
        self._back.extendleft(chunk.items for chunk in reversed(chunks))

    def split(self, chunk: Chunk, why: str) -> Iterator[tuple[str, Line]]:
        """What is left of a chunk at which a worker died, image by image; the lines of the lost."""
        self.handed_out.remove(chunk.number)
        alone: deque[tuple[Item, ...]] = deque()
        for item in chunk.items:
            left = self._open[item.name]
            if not left:
                del self._open[item.name]
                continue
            self._deaths[item.name] += 1
            if self._deaths[item.name] < DEATHS:
                alone.append((_of_recipes(item, left),))
                continue
            sentence = f"its worker died {DEATHS} times ({why}); look at the image, or leave it out"
            del self._open[item.name]
            for recipe in (r for r in item.recipes if r in left):
                yield recipe, self._lost(recipe, item.name, sentence)
        self._back.extendleft(reversed(alone))


def _of_recipes(item: Item, recipes: set[str]) -> Item:
    """The image, for those of its recipes alone."""
    return replace(item, recipes=tuple(r for r in item.recipes if r in recipes))
