"""Who walks the images can be replaced: another engine gives the same lines, wherever it runs."""

from __future__ import annotations

import json
import pickle
from contextlib import ExitStack, contextmanager

import pytest
from toys import Best, Bright, Dice, Flood, Note, Paint, Peak, Right, Squares, Wander, Whole

from segkit import SegkitError, plan
from segkit.comparing.diagnosis import DiagnosisJob
from segkit.running.engines.local import Local
from segkit.running.job import Job
from segkit.running.options import RunOptions
from segkit.running.session import Session

END = (Best(), Paint(), Right(), Note())
PLANS = {
    "peak": (Bright(), Peak(), Flood(), *END),
    "dice": (Bright(), (Peak(), Dice()), Flood(), *END),
    "wander": (Wander(), Flood(), *END),
    "two": (Bright(n=2), Peak(), Whole(), Flood(), *END),
}
IMAGES = [f"square-{i}" for i in range(5)]


class Dealt:
    """Copies of a job, opened apart; the images are dealt out, the last one first."""

    def __init__(self, hands, calls):
        self.hands, self.calls = hands, calls
        self.classes, self.vocabulary = hands[0].classes, hands[0].vocabulary
        self.workers = ()

    def walk(self, names, done, write):
        for index, name in enumerate(reversed(names)):
            hand = self.hands[index % len(self.hands)]
            skip = {recipe: {*names} - {name} | {*there} for recipe, there in done.items()}
            for recipe, line in hand.lines(names, skip, write):
                self.calls.append((index % len(self.hands), recipe, line["name"]))
                write.keep(recipe, line)


class Dealing:
    """What worker processes do, in this one: each has its copy of the job, and steps of its own."""

    def __init__(self, hands=2):
        self.hands = hands
        self.calls = []
        """Hand, recipe and image of each line, in the order in which they came."""

    @contextmanager
    def opened(self, job, options, observers):
        copies = [pickle.loads(pickle.dumps(job)) for _ in range(self.hands)]
        with ExitStack() as stack:
            hands = [
                stack.enter_context(Local().opened(copy, options, observers)) for copy in copies
            ]
            yield Dealt(hands, self.calls)


class Stopping(Dealing):
    """One that is cut off after some lines."""

    def __init__(self, after):
        super().__init__()
        self.after = after

    @contextmanager
    def opened(self, job, options, observers):
        with super().opened(job, options, observers) as dealt:
            whole = dealt.walk

            def some(names, done, write):
                keep = write.keep

                def keep_some(recipe, line):
                    if len(self.calls) > self.after:
                        self.calls.pop()
                        raise SegkitError("the power went")
                    keep(recipe, line)

                write.keep = keep_some
                whole(names, done, write)

            dealt.walk = some
            yield dealt


def made(**data):
    return {name: plan([Squares(**data), *steps]) for name, steps in PLANS.items()}


def lines_in(directory):
    """Recipe to the lines of its results.jsonl in the images' order, without times."""
    lines = {}
    for path in sorted(directory.glob("recipes/*/results.jsonl")):
        several = [json.loads(text) for text in path.read_text().splitlines()]
        for line in several:
            line.pop("seconds")
        lines[path.parent.name] = sorted(several, key=lambda line: line["name"])
    return lines


@pytest.mark.parametrize("job_class", [Job, DiagnosisJob])
def test_another_engine_gives_the_same_lines(tmp_path, job_class):
    how = {} if job_class is DiagnosisJob else {"nested": True}
    plans = made(bad=(3,))
    if job_class is DiagnosisJob:
        del plans["wander"]  # the oracles answer prompts; it makes its own
    engine = Dealing()
    options = RunOptions(seed=7, classes=("square",))
    here = Session(job_class(plans, tmp_path / "here", **how), options).run()
    there = Session(job_class(plans, tmp_path / "there", **how), options, engine).run()
    lines = lines_in(tmp_path / "here")
    assert set(lines) == set(plans)
    assert all([line["name"] for line in several] == IMAGES for several in lines.values())
    assert lines_in(tmp_path / "there") == lines
    for name in plans:
        assert there[name]["scores"] == pytest.approx(here[name]["scores"])
        assert there[name]["failed"] == here[name]["failed"] == 1
    # It is indeed another one: both hands worked, and the last image came first.
    assert {hand for hand, _, _ in engine.calls} == {0, 1}
    names = [name for _, recipe, name in engine.calls if recipe == "peak"]
    assert names == IMAGES[::-1]


def test_an_engine_does_what_is_left(tmp_path):
    plans = {"peak": made()["peak"], "dice": made()["dice"]}
    Session(Job(plans, tmp_path / "whole", nested=True)).run()

    engine = Stopping(after=5)
    with pytest.raises(SegkitError, match="the power went"):
        Session(Job(plans, tmp_path / "cut", nested=True), engine=engine).run()
    finished = [(recipe, name) for _, recipe, name in engine.calls]
    assert len(finished) == 5
    engine = Dealing(hands=3)
    again = Job(plans, tmp_path / "cut", nested=True)
    Session(again, RunOptions(resume=True), engine).run()
    rest = [(recipe, name) for _, recipe, name in engine.calls]
    assert len(rest) == 5
    assert {*finished, *rest} == {(recipe, name) for recipe in plans for name in IMAGES}
    assert lines_in(tmp_path / "cut") == lines_in(tmp_path / "whole")
