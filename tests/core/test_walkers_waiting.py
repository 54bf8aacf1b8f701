"""What waits where several walkers are at work: outcomes, chunks, and whoever ends them."""

from __future__ import annotations

import threading
import time
from contextlib import closing, contextmanager

import numpy as np
import pytest

pytest.importorskip("torch")
from toys import Squares
from walker_toys import EMPTY, HERE, ONE, SEEN, WORK, Made, two_cores

from segkit import Image, Masks
from segkit.running import walkers as module
from segkit.running.batches import Batches
from segkit.running.walk import Outcome, Walk
from segkit.running.walkers import walk_at_once

WAIT = 20
"""Seconds after which something has gone wrong."""


@pytest.fixture(autouse=True)
def two():
    with two_cores():
        yield


def test_a_large_outcome_is_done_with_before_its_walker_goes_on():
    went_on, others = threading.Event(), threading.Event()

    def outcomes(place):
        large = np.zeros((1, 1 << 14, 1 << 14), bool)
        yield Outcome("a", f"{place}", masks=Masks(large, np.ones(1), np.zeros(1, np.int64)))
        (others if place else went_on).set()

    with closing(walk_at_once(Made(2, outcomes), WORK, HERE)) as coming:
        first = next(coming)
        assert first.name == "0"
        time.sleep(0.1)
        assert not went_on.is_set()
        assert not others.is_set()
        assert next(coming).name == "1"
        assert went_on.wait(WAIT)
        assert [*coming] == []
    assert others.is_set()


def test_outcomes_that_wait_for_their_turn_take_no_more_than_they_may(monkeypatch):
    image = Image(np.zeros((100, 100, 3), np.uint8), "image")
    monkeypatch.setattr(module, "WAITING", 3 * image.pixels.nbytes)
    made = []
    first_may = threading.Event()

    def outcomes(place):
        if place == 0:
            assert first_may.wait(WAIT)
        for number in range(20):
            made.append(place)
            yield Outcome("a", f"{place}-{number}", image=image)

    with closing(walk_at_once(Made(2, outcomes), WORK, HERE)) as coming:
        names = []
        reading = threading.Thread(target=lambda: names.extend(o.name for o in coming))
        reading.start()
        time.sleep(0.3)
        assert made == [1] * 4
        first_may.set()
        reading.join(WAIT)
    assert names == [f"{place}-{number}" for place in (0, 1) for number in range(20)]


def test_a_fault_is_raised_behind_all_that_comes_before_it():
    def outcomes(place):
        time.sleep(0.05 * (place == 0))
        yield Outcome("a", f"{place}")
        if place == 1:
            raise RuntimeError("it is broken")

    coming = walk_at_once(Made(9, outcomes), WORK, HERE)
    assert [next(coming).name, next(coming).name] == ["0", "1"]
    with pytest.raises(RuntimeError, match="it is broken"):
        next(coming)


def test_a_chunk_waits_until_there_is_room_beside_those_at_work(monkeypatch):
    """As large images do that would take the memory of several chunks."""
    at_work, most = [], []

    def outcomes(place):
        at_work.append(place)
        most.append(len(at_work))
        time.sleep(0.02)
        at_work.remove(place)
        yield Outcome("a", f"{place}")

    def names():
        most.clear()
        with closing(walk_at_once(Made(6, outcomes), WORK, HERE)) as coming:
            return [outcome.name for outcome in coming]

    assert names() == [*"012345"]
    assert max(most) == 2
    monkeypatch.setattr(Batches, "host_bytes", 1)
    assert names() == [*"012345"]
    assert max(most) == 2  # there is memory
    monkeypatch.setattr(module, "FREE", 0)
    assert names() == [*"012345"]
    assert max(most) == 1


class Noted(Squares):
    """Notes which images are read."""

    name = "noted"

    def __getitem__(self, index):
        SEEN.calls.append(index)
        time.sleep(0.02)
        return super().__getitem__(index)


def test_large_images_are_read_one_ahead(monkeypatch):
    def read(count):
        SEEN.calls.clear()
        walk = Walk(Noted(count=9), Squares(count=9).names, {}, {"a": EMPTY}, ONE)
        chunks = walk.chunks(4)
        for _ in range(count):
            next(chunks)
        time.sleep(0.3)
        told = len(SEEN.calls)
        chunks.close()
        return told

    assert read(2) == 2 + 4
    monkeypatch.setattr(Batches, "host_bytes", 1)
    assert read(2) == 2 + 1


def test_no_image_is_read_once_the_walkers_have_ended():
    def outcomes(place):
        yield Outcome("a", f"{place}")

    walk = Made(1000, outcomes)
    walk.dataset = Noted(count=1000)
    coming = walk_at_once(walk, WORK, HERE)
    assert next(coming).name == "0"
    coming.close()
    told = len(SEEN.calls)
    time.sleep(0.1)
    assert len(SEEN.calls) == told


def test_closing_ends_the_walkers():
    told = []

    @contextmanager
    def opening():
        yield {}
        told.append("closed")

    def outcomes(place):
        yield Outcome("a", f"{place}")

    coming = walk_at_once(Made(10_000, outcomes), WORK, [opening, opening])
    assert next(coming).name == "0"
    coming.close()
    assert told == ["closed"] * 2
