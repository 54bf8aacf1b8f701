"""Commands that are stopped from outside, and a second one on the same folder: real processes.

What comes after them is called in this one, for to start another takes seconds.
"""

from __future__ import annotations

import json
import os
import signal
import time

import pytest
from starting import started

from segkit.running.lock import LOCK, Owner
from segkit.values.files import SCRAP

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs signals of POSIX")

SLOW = """
import os
import time
from pathlib import Path

import numpy as np
from segkit import Image, Labels, Segmenter, hookimpl


class Slow(Segmenter):
    name = "slow"

    def __call__(self, image: Image) -> Labels:
        "Waits for the file $UNTIL, or else a while."
        awaited = os.environ.get("UNTIL") if image.name > "shapes-00003" else None
        time.sleep(0.15)
        while awaited is not None and not Path(awaited).exists():
            time.sleep(0.02)
        return Labels((image.pixels[..., 0] > 100).astype(np.int32), {1: "light"})


@hookimpl
def segkit_segmenters():
    return [Slow]
"""

COUNT = 12

GOES_ON = ("run", "sweep", "robustness")


@pytest.fixture
def plugin(tmp_path):
    path = tmp_path / "slow.py"
    path.write_text(SLOW)
    return path


def arguments(command, plugin, out, *more):
    flags = ["--dataset", "shapes", "--shapes.count", str(COUNT), "--segmenter", "slow"]
    flags += ["--plugin", str(plugin), "-o", str(out), "--metric", "iou", *more]
    if command == "robustness":
        flags += ["--perturb", "jpeg", "--levels", "1"]
    return [command, *flags]


def until(there, process, seconds=60):
    """Wait until something is there; what the process said if it ends before."""
    end = time.monotonic() + seconds
    while not there():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def results(out):
    return next(iter(out.rglob("results.jsonl")), None)


def count(out):
    path = results(out)
    return path.read_text().count("\n") if path else 0


def leftovers(out):
    return [p for p in out.rglob("*") if p.name == LOCK or SCRAP.fullmatch(p.name)]


def names(out):
    return [json.loads(line)["name"] for line in results(out).read_text().splitlines()]


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow), signal.SIGINT]
)
@pytest.mark.parametrize(
    "command", [GOES_ON[0], *(pytest.param(c, marks=pytest.mark.slow) for c in GOES_ON[1:])]
)
def test_a_signal_ends_it_with_a_sentence_and_it_goes_on(segkit, tmp_path, plugin, command, number):
    if number != signal.SIGTERM and command != "run":
        pytest.skip("the commands share what catches the others")
    out = tmp_path / "out"
    process = started(*arguments(command, plugin, out))
    until(lambda: count(out) >= 2, process)
    process.send_signal(number)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + number
    assert told.splitlines()[-1] == (
        f"Stopped; finished images are kept: go on with --resume -o {out}"
    )
    assert "Traceback" not in told
    assert leftovers(out) == []
    before = names(out)
    assert 2 <= len(before) < COUNT
    done = segkit(*arguments(command, plugin, out, "--resume"))
    assert done.code == 0, done.err
    assert names(out)[: len(before)] == before
    assert len(names(out)) == len({*names(out)}) == COUNT


def test_a_signal_that_is_ignored_stays_so(tmp_path, plugin):
    out = tmp_path / "out"
    ignored = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}  # as nohup does
    process = started(*arguments("run", plugin, out), **ignored)
    until(lambda: count(out) >= 2, process)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert count(out) == COUNT


def test_a_second_process_gets_a_sentence(segkit, tmp_path, plugin):
    out = tmp_path / "out"
    go = tmp_path / "go"
    first = started(*arguments("run", plugin, out), env={**os.environ, "UNTIL": str(go)})
    until(lambda: count(out) >= 1, first)
    for more in (["--resume"], ["--overwrite"], []):
        second = segkit(*arguments("run", plugin, out, *more))
        assert second.code == 2
        assert f"Error: the folder {out} is in use by process {first.pid} since " in second.err
        assert "; wait until it has ended, or choose another folder" in second.err
    scored = segkit("score", out, "--metric", "iou")
    assert f"is in use by process {first.pid}" in scored.err
    assert segkit("report", out).code == 0  # who only reads need not wait
    go.touch()
    first.communicate(timeout=120)
    assert first.returncode == 0
    assert len(names(out)) == len({*names(out)}) == COUNT
    assert leftovers(out) == []


def test_two_that_begin_at_once_do_each_image_once(tmp_path, plugin):
    out = tmp_path / "out"
    both = [started(*arguments("run", plugin, out)) for _ in range(2)]
    told = [process.communicate(timeout=120)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2], told
    assert len(names(out)) == len({*names(out)}) == COUNT


@pytest.mark.slow
def test_what_a_killed_one_has_left_is_taken_over(segkit, tmp_path, plugin):
    out = tmp_path / "out"
    process = started(*arguments("run", plugin, out))
    until(lambda: count(out) >= 2, process)
    process.kill()
    process.communicate()
    assert (out / LOCK).exists()
    scrap = out / "masks" / f".{'0' * 32}.part"
    scrap.write_text("half a mas")
    done = segkit(*arguments("run", plugin, out, "--resume"))
    assert done.code == 0, done.err
    assert len(names(out)) == len({*names(out)}) == COUNT
    assert leftovers(out) == []


def test_a_lock_of_another_machine_stands(segkit, tmp_path, plugin):
    out = tmp_path / "out"
    assert segkit(*arguments("run", plugin, out)).code == 0
    owner = Owner("another-host", 7, "whenever", "2026-01-01 12:00:00")
    (out / LOCK).write_text(json.dumps(vars(owner)))
    again = arguments("run", plugin, out, "--resume")
    done = segkit(*again)
    assert done.code == 2
    assert done.err.splitlines()[-1] == (
        f"Error: the folder {out} is in use by process 7 on the machine 'another-host' since "
        "2026-01-01 12:00:00, and this machine cannot see whether that still runs; wait for it, "
        f"or, if it has ended, remove {out / LOCK}"
    )
    (out / LOCK).unlink()
    assert segkit(*again).code == 0


@pytest.mark.slow
def test_a_training_that_is_stopped_goes_on(tmp_path):
    pytest.importorskip("lightning")
    path = tmp_path / "net.safetensors"
    words = ["train", "unet", "--dataset", "shapes"]
    words += ["--shapes.count", "12", "--train.size", "32", "--train.epochs", "400"]
    words += ["--train.patience", "400", "--train.batch", "4", "-o", str(path)]
    process = started(*words)
    until(path.with_suffix(".ckpt").exists, process, 300)
    process.send_signal(signal.SIGTERM)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + signal.SIGTERM, told
    assert told.splitlines()[-1] == "Stopped; whole epochs are kept: go on with --resume"
    assert "Traceback" not in told
    assert [p for p in tmp_path.iterdir() if SCRAP.fullmatch(p.name)] == []
