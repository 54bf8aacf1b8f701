"""How much of two processes `workers` and `ray` leave, and what the driver itself takes.

    pytest -m benchmark -s tests/benchmarks/bench_engines.py

$COUNT photographs (300) by the default recipe, $TURNS times (5), medians told: two separate
processes of one thread, each with half of them; `--engine workers --workers 2`; `--engine ray` on
two processors. Start-up is left out: of workers the time counts in which they were ready. Needs a
machine with two free processors; the second part, which needs none, is the driver with workers
that cost nothing, $IMAGES images (100,000); bench_million.py has those that have files.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from photographs import write_photographs

from segkit import Dataset, Image, Labels, Segmenter, plan
from segkit.running.engines.dispatched import TOGETHER, Dispatched
from segkit.running.engines.parcel import sameness
from segkit.running.engines.pool import Hello, Made, Ready
from segkit.running.job import Job
from segkit.running.options import RunOptions
from segkit.running.session import Session

pytestmark = pytest.mark.benchmark

TURNS = int(os.environ.get("TURNS", "5"))
COUNT = int(os.environ.get("COUNT", "300"))
SIZE = 320, 240
IMAGES = int(os.environ.get("IMAGES", "100000"))
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


def started(photos, out, *more):
    words = [sys.executable, "-m", "segkit.cli.main", "run", *map(str, photos), "--device", "cpu"]
    return subprocess.Popen([*words, "--quiet", "-o", str(out), *more], env=ONE_THREAD)


def summary_of(out):
    return json.loads((out / "summary.json").read_text())


def apart(photos, out):
    """Images a second of two processes that know nothing of each other."""
    halves = photos[::2], photos[1::2]
    processes = [started(half, out / str(i)) for i, half in enumerate(halves)]
    assert [process.wait() for process in processes] == [0, 0]
    return sum(summary_of(out / str(i))["images_per_second"] for i in range(2))


def together(photos, out, *engine):
    """Images a second of two workers while they were ready."""
    assert started(photos, out, *engine).wait() == 0
    rows = summary_of(out)["workers"]
    there = sum(row["busy_seconds"] + row["idle_seconds"] for row in rows)
    return len(rows) * sum(row["images"] for row in rows) / there


def test_throughput(tmp_path):
    photos = write_photographs(tmp_path / "photos", COUNT, SIZE)
    ways = {
        "two processes": apart,
        "workers": lambda *a: together(*a, "--engine", "workers", "--workers", "2"),
        "ray": lambda *a: together(*a, "--engine", "ray", "--ray.address", "local"),
    }
    rates = {name: [] for name in ways}
    for turn in range(TURNS):
        for name, way in ways.items():
            out = tmp_path / f"{name.replace(' ', '-')}-{turn}"
            out.mkdir()
            rates[name].append(way(photos, out / "out"))
            print(f"{turn}: {name} {rates[name][-1]:.2f} images a second", flush=True)
    medians = {name: statistics.median(some) for name, some in rates.items()}
    shares = {name: rate / medians["two processes"] for name, rate in medians.items()}
    print({name: f"{medians[name]:.2f} ({share:.3f})" for name, share in shares.items()})
    assert medians["workers"] >= 0.95 * medians["two processes"]
    assert medians["ray"] >= 0.9 * medians["workers"]


class Names(Dataset):
    """Names of images that are nowhere, each of a file."""

    name = "names"
    count: int = 0

    @property
    def names(self):
        return [f"image-{i:07}" for i in range(self.count)]

    def files_of(self, index):
        return (Path(f"/nowhere/image-{index:07}.jpg"),)

    @property
    def has_truth(self):
        return False


class Nothing(Segmenter):
    """Is never called."""

    name = "nothing"

    def __call__(self, image: Image) -> Labels:
        raise AssertionError


class Instant:
    """Workers that cost nothing: a line is there when it is asked for."""

    def __init__(self, same):
        self.same = same
        self.events = []
        self.chunks = 0

    def wanted(self):
        return 16

    def start(self, worker):
        self.events.append(Hello(worker, {"host": "here", "segkit": self.same["segkit"]}))

    def open(self, worker, parcel):
        told = {"classes": {}, "vocabulary": [], "chunk": 4, "same": self.same}
        self.events.append(Ready(worker, told))

    def submit(self, worker, chunk):
        self.chunks += 1
        lines = [(r, self.line(item.name)) for item in chunk.items for r in item.recipes]
        self.events.append(Made(worker, chunk.number, lines, True, 0.0))

    def line(self, name):
        return line_of(name)

    def poll(self, timeout):
        events, self.events = self.events, []
        return events

    def close(self, *, at_once):
        pass


def line_of(name):
    """What a run without writers says of an image with one object."""
    line = {"name": name, "status": "ok", "error": None, "scores": {}, "counts": {}}
    seconds = {"gradcam": 0.05012, "components": 0.00912, "sam": 0.06512}
    mask = {"name": "tabby", "score": 0.912345, "prompt": 0, "pixels": 41234}
    prompt = {"points": [[120.0, 80.0]], "signs": [True], "box": [10.0, 10.0, 99.0, 99.0]}
    prompt |= {"mask": False, "name": "tabby", "score": 0.51234}
    more = {"seconds": seconds, "files": [], "written": {}, "prompts": [prompt], "masks": [mask]}
    return line | more | {"classes": {1: "tabby"}, "shown": [1], "regions": 1, "source": None}


def test_the_driver_alone(tmp_path):
    plans = {"run": plan([Names(count=IMAGES), Nothing()])}
    job, options = Job(plans, tmp_path / "out", nested=False), RunOptions()
    pool = Instant(sameness(job, options))
    engine = Dispatched(lambda: pool, TOGETHER)
    start, worked = time.perf_counter(), time.process_time()
    summary = Session(job, options, engine).run()["run"]
    spent, busy = time.perf_counter() - start, time.process_time() - worked
    assert summary["images"] == IMAGES
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{IMAGES} images: {spent:.1f} s, {summary['images_per_second']:.0f} lines a second")
    print(f"{1000 * busy / pool.chunks:.2f} ms of {pool.chunks} chunks each; peak {peak:.2f} GiB")
    assert 1000 * busy / pool.chunks <= 5
