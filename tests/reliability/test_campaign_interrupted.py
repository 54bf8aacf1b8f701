"""Runs that are killed, stopped, or meet another process in their folder."""

from __future__ import annotations

import random
import signal
import time

import pytest
from campaign import photos, run_of, scaled
from runs import check_kept, compare, contents, ended, started, until_lines

pytestmark = pytest.mark.slow

IMAGES = 200
CHAIN = 5
"""So often one run is ended before it may end by itself."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Flags of a data set."""
    return photos(tmp_path_factory.mktemp("data"), scaled(IMAGES))


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """What an undisturbed run makes."""
    out = tmp_path_factory.mktemp("whole") / "out"
    done = ended(started(run_of(data, out)))
    assert done.code == 0, done.err
    return contents(out)


def interrupted(out, data, number, moments, tally, rng):
    """End a run at each moment, counted in finished images, and look at what is kept."""
    kept: set[str] = set()
    for moment in moments:
        what = f"{out.name} ended after {moment} images"
        process = started(run_of(data, out, "--resume"))
        until_lines(out, moment, process)
        time.sleep(rng.uniform(0, 0.3))
        process.send_signal(number)
        left = ended(process)
        stopped = (-signal.SIGKILL,) if number == signal.SIGKILL else (128 + number,)
        tally.look(left, what, (*stopped, 0))  # 0: it was done before
        if number != signal.SIGKILL and left.code:
            said = left.err.strip().splitlines()[-1:]
            if not (said and said[0].startswith("Stopped")):
                tally.add("tracebacks", f"{what} says {said}")
        now = check_kept(out, tally, what) if out.exists() else set()
        tally.add("lost", f"{what}: {sorted(kept - now)} were finished", len(kept - now))
        kept = now
        tally.attacks += 1


def finish(out, data, whole, tally):
    """Let it come to its end, and compare."""
    done = ended(started(run_of(data, out, "--resume")))
    tally.look(done, f"{out.name} goes on", (0,))
    check_kept(out, tally, out.name)
    compare(out, whole, tally, out.name)


def moments(rng, count):
    """Numbers of finished images, rising; the last one is all, so that the end is cut off too."""
    images = scaled(IMAGES)
    return [*sorted(rng.randrange(images) for _ in range(count - 1)), images]


def test_SIGKILL(tmp_path, data, whole, tally):
    rng = random.Random(0)
    left = scaled(20)
    while left > 0:
        out = tmp_path / f"killed-{left}"
        some = min(CHAIN, left)
        interrupted(out, data, signal.SIGKILL, moments(rng, some), tally, rng)
        finish(out, data, whole, tally)
        left -= some
    tally.check()


def test_SIGTERM(tmp_path, data, whole, tally):
    rng = random.Random(1)
    out = tmp_path / "stopped"
    interrupted(out, data, signal.SIGTERM, moments(rng, scaled(5)), tally, rng)
    finish(out, data, whole, tally)
    tally.check()


@pytest.mark.parametrize("second", ["at once", "--resume", "--overwrite"])
def test_two_owners(tmp_path, data, whole, tally, second):
    out = tmp_path / "out"
    first = started(run_of(data, out))
    if second == "at once":
        other = started(run_of(data, out))
        ends = [ended(process) for process in (first, other)]
    else:
        until_lines(out, scaled(20), first)
        first.send_signal(signal.SIGSTOP)  # it lives, and cannot end before the other has come
        other_end = ended(started(run_of(data, out, second)))
        first.send_signal(signal.SIGCONT)
        ends = [ended(first), other_end]
    for which, end in zip(("the first", "the other"), ends, strict=True):
        tally.look(end, f"{which}, {second}", (0, 2))
    tally.attacks += 1
    codes = sorted(end.code for end in ends)
    if codes != [0, 2]:
        tally.add("unequal", f"{second}: the two end with {codes}, not one of them with 2")
    check_kept(out, tally, second)
    compare(out, whole, tally, second)
    tally.check()
