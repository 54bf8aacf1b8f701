"""Lines are made beside the work: in order, a few behind it, and none that is finished is lost."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from toys import Best, Bright, Flood, Paint, Peak, Right, Squares

from segkit import Counts, Heatmap, Image, Labels, Scores, Truth, plan, run
from segkit.running import beside as module
from segkit.running.beside import beside
from segkit.running.walk import Outcome

WAIT = 20
"""Seconds after which something has gone wrong."""


def outcomes(count, told=None):
    for place in range(count):
        if told is not None:
            told.append(place)
        yield Outcome("recipe", f"{place}")


def named(coming):
    for outcome in coming:
        yield outcome.recipe, {"name": outcome.name}


def kept(outcomes, lines, most, into=None):
    """The names of the lines that were kept."""
    into = [] if into is None else into
    beside(outcomes, lines, lambda recipe, line: into.append(line["name"]), most)
    return into


def test_every_line_comes_in_order():
    assert kept(outcomes(50), named, 4) == [f"{n}" for n in range(50)]
    assert kept(outcomes(0), named, 4) == []


def test_lines_are_made_by_another_thread_while_the_work_goes_on():
    worked = threading.Event()
    makers = []

    def lines(coming):
        for outcome in coming:
            makers.append(threading.current_thread())
            assert worked.wait(WAIT)  # the next image is worked on before this one's line is made
            yield outcome.recipe, {"name": outcome.name}

    def work():
        yield Outcome("recipe", "first")
        worked.set()
        yield Outcome("recipe", "second")

    assert kept(work(), lines, 4) == ["first", "second"]
    assert {*makers}.isdisjoint({threading.main_thread()})
    assert len({*makers}) == 1
    assert not makers[0].is_alive()


def test_no_more_wait_than_there_is_room_for():
    told = []
    may = threading.Semaphore(0)
    behind = []

    def lines(coming):
        for place, outcome in enumerate(coming):
            assert may.acquire(timeout=WAIT)
            behind.append(told[-1] - place)
            yield outcome.recipe, {"name": outcome.name}

    may.release(20)
    assert len(kept(outcomes(20, told), lines, 2)) == 20
    # One is being made, two wait, and the next is worked out.
    assert max(behind) <= 4


def test_large_values_are_done_with_before_the_next_image(monkeypatch):
    monkeypatch.setattr(module, "SHARE", 100)
    image = Image(np.zeros((10, 10, 3), np.uint8), "x")
    events = []

    def work():
        for place in range(3):
            events.append(f"work {place}")
            yield Outcome("recipe", f"{place}", image=image)

    def lines(coming):
        for outcome in coming:
            events.append(f"line {outcome.name}")
            yield outcome.recipe, {"name": outcome.name}

    assert kept(work(), lines, 4) == ["0", "1", "2"]
    assert events == ["work 0", "line 0", "work 1", "line 1", "work 2", "line 2"]


def test_so_are_heatmaps_that_a_step_makes_anew():
    heatmap = Heatmap.deferred(lambda: np.zeros((4, 4), np.float32), (4, 4), "x", 1.0)
    assert module.is_large(Outcome("recipe", "x", heatmaps=(heatmap,)))
    small = Heatmap(np.zeros((4, 4), np.float32), "x", 1.0)
    assert not module.is_large(Outcome("recipe", "x", heatmaps=(small,)))


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()])
def test_what_the_work_raises_comes_after_what_was_finished(error):
    def work():
        yield from outcomes(5)
        raise error

    made = []
    with pytest.raises(type(error)):
        kept(work(), named, 4, made)
    assert made == ["0", "1", "2", "3", "4"]


def test_so_does_what_a_writer_raises_and_nothing_more_is_worked_out():
    told = []

    def lines(coming):
        for outcome in coming:
            if outcome.name == "3":
                raise OSError("full")
            yield outcome.recipe, {"name": outcome.name}

    made = []
    with pytest.raises(OSError, match="full"):
        kept(outcomes(1000, told), lines, 2, made)
    assert made == ["0", "1", "2"]
    assert len(told) < 10
    with pytest.raises(OSError, match="full"):  # of the last image as well
        kept(outcomes(4), lines, 9)


def test_a_line_is_kept_while_the_next_image_takes_long():
    made, there = [], threading.Event()

    def work():
        yield Outcome("recipe", "first")
        assert there.wait(WAIT)  # it is kept before anything comes of the second
        yield Outcome("recipe", "second")

    def keep(recipe, line):
        made.append(line["name"])
        there.set()

    beside(work(), named, keep, 4)
    assert made == ["first", "second"]
    assert not [t for t in threading.enumerate() if t.name == "segkit-writer"]


def test_what_keeping_raises_ends_the_work():
    told = []

    def keep(recipe, line):
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        beside(outcomes(1000, told), named, keep, 2)
    assert len(told) < 10


def test_several_large_outcomes_do_not_wait_together(monkeypatch):
    monkeypatch.setattr(module, "SHARE", 1000)
    monkeypatch.setattr(module, "TOGETHER", 1000)
    labels = Labels(np.zeros((10, 10), np.int32))  # 400 bytes: not one of them is large
    told, behind = [], []

    def work():
        for place in range(20):
            told.append(place)
            yield Outcome("recipe", f"{place}", labels=labels)

    def lines(coming):
        for place, outcome in enumerate(coming):
            time.sleep(0.01)
            behind.append(told[-1] - place)
            yield outcome.recipe, {"name": outcome.name}

    assert len(kept(work(), lines, 9)) == 20
    # One is being made, two wait, and the next is worked out.
    assert max(behind) <= 4


def test_a_metric_counts_and_scores_in_one_thread(tmp_path):
    threads = set()

    class Threaded(Right):
        def count(self, labels: Labels, truth: Truth) -> Counts:
            threads.add(threading.current_thread().name)
            return super().count(labels, truth)

        def score(self, counts: Counts) -> Scores:
            threads.add(threading.current_thread().name)
            return super().score(counts)

    steps = plan([Squares(), Bright(), Peak(), Flood(), Best(), Paint(), Threaded()])
    summary = run({"run": steps}, tmp_path / "out")["run"]
    assert summary["images"] == 5
    assert threads == {threading.current_thread().name}
