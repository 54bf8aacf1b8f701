"""`--engine workers`: processes of this machine give what one process gives, whatever dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from engine_toys import files_in, lines_in, stubbed

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


def started(words):
    return subprocess.Popen(
        [sys.executable, "-m", "segkit.cli.main", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


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
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_its_driver(tmp_path, whole, number):
    out = tmp_path / "out"
    words = stubbed(tmp_path, out, *TWO, "--stub.pause", "0.15")
    process = started(words)
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
    again = started([*words, "--resume", "--quiet"])
    again.communicate(timeout=120)
    lines = lines_in(out)
    assert {n: line["files"] for n, line in lines.items()} == {
        n: [f for f in line["files"] if f.startswith(("masks/", "overlay/"))]
        for n, line in lines_in(whole).items()
    }
