"""`--engine workers`: processes of this machine give what one process gives, whatever dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

import pytest
from engine_toys import files_in, lines_in, stubbed
from PIL import Image as Picture
from starting import started

from segkit import UsageError
from segkit.cli.progress import Progress
from segkit.running.engines import processes
from segkit.running.engines.dispatch import Dispatcher, Seat, Work
from segkit.running.engines.parcel import Item
from segkit.running.engines.pool import Died, Hello, Made, RefusalError, Refused
from segkit.running.engines.processes import BOOT, Processes
from segkit.running.folder import Record
from segkit.running.ledger import Ledger
from segkit.values.files import write_file

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs signals of POSIX")

TWO = ("--engine", "workers", "--workers", "2")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of one process."""
    folder = tmp_path_factory.mktemp("whole")
    words = stubbed(folder, folder / "out", "--write", "coco", "--write", "voc", "--quiet")
    subprocess.run([sys.executable, "-m", "segkit.cli.main", *words], check=False)
    return folder / "out"


def test_the_same_as_one_process(segkit, tmp_path, whole):
    words = stubbed(whole.parent, "out", "--write", "coco", "--write", "voc", *TWO)
    done = segkit(*words)
    assert done.code == 1  # an image has failed
    assert "not this one" in done.err
    lines = lines_in(Path("out"))
    assert lines == lines_in(whole)
    assert lines["shapes-00002"]["status"] == "failed"
    assert files_in(Path("out")) == files_in(whole)
    summary = json.loads(Path("out/summary.json").read_text())
    assert summary["images_per_second"] > 0
    workers = summary["workers"]
    assert [row["worker"] for row in workers] == [1, 2]
    assert sum(row["images"] for row in workers) == 12
    assert all(row["deaths"] == 0 and row["busy_seconds"] >= 0 for row in workers)


def test_an_image_that_kills_its_workers(segkit, tmp_path, whole):
    done = segkit(*stubbed(tmp_path, "out", *TWO, "--stub.poison", "shapes-00005"))
    assert done.code == 1
    said = " ".join(done.err.split())
    sentence = "its worker died 3 times (exit 137: out of memory?); look at the image"
    assert f"shapes-00005: {sentence}" in said
    lines, right = lines_in(Path("out")), lines_in(whole)
    lost = lines.pop("shapes-00005")
    assert lost["status"] == "failed"
    assert sentence in lost["error"]
    right.pop("shapes-00005")
    assert [line["scores"] for _, line in sorted(lines.items())] == [
        line["scores"] for _, line in sorted(right.items())
    ]
    workers = json.loads(Path("out/summary.json").read_text())["workers"]
    assert sum(row["deaths"] for row in workers) == 3


def test_a_worker_that_dies_once_costs_no_image(segkit, tmp_path, whole):
    done = segkit(*stubbed(tmp_path, "out", *TWO, "--stub.once", str(tmp_path / "once")))
    assert done.code == 1
    lines = lines_in(Path("out"))
    assert {n for n, line in lines.items() if line["status"] != "ok"} == {"shapes-00002"}
    assert len(lines) == 12


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--stub.broken",), "the stub is broken"),
        (("--stub.dies",), "workers cannot be started: 3 have died before they were ready (exit"),
    ],
)
def test_what_cannot_be_opened_is_told_once(segkit, tmp_path, flags, sentence):
    done = segkit(*stubbed(tmp_path, "out", *TWO, *flags))
    assert done.code in (1, 2)
    said = " ".join(done.err.split())
    assert said.startswith("Error:")
    assert said.count(sentence) == 1
    assert "Traceback" not in said
    assert not Path("out").exists()


def test_a_worker_of_another_version_is_refused(segkit, tmp_path, monkeypatch):
    info = tmp_path / "elsewhere" / "segkit-9.9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: segkit\nVersion: 9.9\n")
    monkeypatch.setenv("PYTHONPATH", str(info.parent))
    done = segkit(*stubbed(tmp_path, "out", *TWO))
    assert done.code == 2
    said = " ".join(done.err.split())
    assert "has segkit as 9.9, but here it is 0.2.0; give both the same" in said


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--workers", "2"), "--workers belongs to --engine workers or ray"),
        (("--engine", "workers", "--workers", "none"), "--workers should be a whole number"),
        (("--engine", "workers", "--ray.cpus", "2"), "--ray.cpus belongs to --engine ray"),
        (("--engine", "workers", "--trace"), "--trace shows the steps of this process"),
    ],
)
def test_flags_that_do_not_fit(segkit, tmp_path, flags, sentence):
    done = segkit(*stubbed(tmp_path, "out", *flags))
    assert done.code == 2
    assert sentence in " ".join(done.err.split())


def children_of(pid):
    """The processes that another one has started, by the system's own list."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def gone(pids):
    """Whether all processes end within some seconds."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        alive = [pid for pid in pids if Path(f"/proc/{pid}").exists() and not _is_zombie(pid)]
        if not alive:
            return True
        time.sleep(0.05)
    return False


def _is_zombie(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's list of processes")
@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        signal.SIGKILL,
    ],
)
def test_no_worker_outlives_its_driver(tmp_path, whole, number):
    out = tmp_path / "out"
    words = stubbed(tmp_path, out, *TWO, "--stub.pause", "0.15")
    process = started(*words)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if out.is_dir() and (out / "results.jsonl").exists():
            break
        time.sleep(0.02)
    workers = children_of(process.pid)
    assert len(workers) == 2
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert gone(workers)
    if number != signal.SIGKILL:
        assert process.returncode == 128 + number
        assert "Stopped; finished images are kept" in said
    kept = lines_in(out)
    assert kept
    again = started(*words, "--resume", "--quiet")
    again.communicate(timeout=120)
    lines = lines_in(out)
    assert {n: line["files"] for n, line in lines.items()} == {
        n: [f for f in line["files"] if f.startswith(("masks/", "overlay/"))]
        for n, line in lines_in(whole).items()
    }


@pytest.mark.slow
def test_a_worker_that_is_started_again_finds_the_weights_that_the_first_has_fetched(
    segkit, tmp_path
):
    weights, once = tmp_path / "weights.pt", tmp_path / "once"
    flags = ("--stub.fetch", str(weights), "--stub.once", str(once), "--quiet")
    done = segkit(*stubbed(tmp_path, "out", *TWO, *flags))
    assert once.exists()  # one has died, and another has taken its place
    assert "give both the same" not in done.err
    assert len(lines_in(Path("out"))) == 12
    assert "stub/fetched" in Path("out/recipe.toml").read_text()


def test_standard_input_is_refused_before_a_worker_is_asked(tmp_path):
    words = ["run", "--files.list", "-", "--segmenter", "threshold", "-o", str(tmp_path / "out")]
    command = [sys.executable, "-m", "segkit.cli.main", *words, "--paint.duplicates", "1", *TWO]
    named = f"{tmp_path / 'photo.png'}\n"
    Picture.new("RGB", (8, 8)).save(tmp_path / "photo.png")
    done = subprocess.run(
        command, input=named, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert " ".join(done.stderr.split()) == (
        "Error: --files.list - is standard input, which workers do not have; write the list to a "
        "file and name that"
    )
    assert not (tmp_path / "out").exists()


PACKAGE = """
import sys
import time

print("importing", flush=True)
time.sleep(1)
sys.exit(0)
"""


def test_ctrl_c_while_a_worker_starts_prints_nothing(tmp_path):
    (tmp_path / "segkit").mkdir()
    (tmp_path / "segkit/__init__.py").write_text(PACKAGE)
    process = subprocess.Popen(
        [sys.executable, "-c", BOOT],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (0, "")


def until(pool, kind):
    """The first event of this kind."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for event in pool.poll(0.2):
            if isinstance(event, kind):
                return event
    raise AssertionError(f"no {kind.__name__} came")


class Unreadable:
    """What cannot be made of its message."""

    def __reduce__(self):
        return (int, ("no number",))


def test_a_message_that_cannot_be_read_is_a_death(monkeypatch):
    pool = Processes(1)
    try:
        pool.start(0)
        until(pool, Hello)
        pool.submit(0, Unreadable())
        assert until(pool, Died).why == "exit 1"
        words = "import pickle, sys, time; sys.stdout.buffer.write(b'no pickle' * 9); "
        words += "sys.stdout.flush(); time.sleep(60)"
        monkeypatch.setattr(processes, "BOOT", words)
        pool.start(1)
        assert until(pool, Died).why.startswith("what it said cannot be read: ")
    finally:
        pool.close(at_once=True)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's list of open files")
def test_a_dead_worker_leaves_nothing_open(monkeypatch):
    monkeypatch.setattr(processes, "BOOT", "raise SystemExit(3)")
    pool = Processes(1)
    before = len([*Path("/proc/self/fd").iterdir()])
    try:
        for worker in range(4):
            pool.start(worker)
            assert until(pool, Died) == Died(worker, "exit 3")
            pool.submit(worker, None)  # nobody hears it
        assert len([*Path("/proc/self/fd").iterdir()]) == before
    finally:
        pool.close(at_once=True)


class Told:
    """A pool in which all has happened already."""

    def __init__(self, events):
        self.events = [events]

    def wanted(self):
        return 0

    def poll(self, timeout):
        return self.events.pop()


def test_lines_that_came_with_a_refusal_are_kept():
    made = Made(0, 0, [("run", {"name": "a"})], False)
    refusal = Refused(1, RefusalError("UsageError", "not like this"))
    pool = Told([refusal, made])
    dispatcher = Dispatcher(pool, None, {"segkit": "1"})
    item = Item(0, "a", "a", ("run",), False)
    work = Work(iter([item]), 1, (1, 1), lambda chunk: chunk, None)
    dispatcher.seats = [Seat(1, 0, "ready", flight=deque([work.take(1)])), Seat(2, 1, "alive")]
    lines = dispatcher.lines(work)
    assert next(lines) == ("run", {"name": "a"})
    with pytest.raises(UsageError, match="not like this"):
        next(lines)


def test_files_of_images_that_other_workers_are_at_are_their_own(tmp_path):
    record = Record(tmp_path / "out", {})
    record.start()
    for name in ("a", "b"):
        record.begin(name)
    files = ("masks/a.png", "masks/b.png", f"masks/.{'0' * 32}.part", "index.txt")
    for name in files:
        write_file(record.directory / name, "x")
    record.end({"name": "a", "files": ["masks/a.png"]})
    noted = Ledger.read(record.directory).files
    assert {*files} & noted == {"index.txt"}


def test_a_workers_speed_is_shown_once_it_has_one():
    shown = Progress()
    shown._start = time.monotonic() - 10
    for worker in (1, 2):
        shown.segkit_worker_changed(worker, 0, 0)
    assert shown._of_workers() == "2 workers"
    shown.segkit_worker_changed(1, 20, 0)
    shown.segkit_worker_changed(2, 0, 1)
    assert shown._of_workers() == "2 workers: 2.0 img/s, 1 death"
