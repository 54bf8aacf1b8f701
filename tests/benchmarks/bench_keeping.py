"""A run of 300 photographs with the segmenter `threshold`, beside another checkout of segkit.

What it costs that an image's files have reached the disk before its line is written:

    SEGKIT_BEFORE=CHECKOUT pytest -m benchmark -s tests/benchmarks/bench_keeping.py

CHECKOUT is a folder with `core` and `plugins`; without it this checkout is compared with itself,
which shows how far times scatter. $TURNS alternations (7) of $COUNT photographs (300). Where others
use the machine too, go by the processor's time, which lacks what is waited for the disk.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
from photographs import write_photographs

pytestmark = pytest.mark.benchmark

COUNT = int(os.environ.get("COUNT", "300"))
SIZE = 320, 240
HERE = Path(__file__).parents[2]

RUN = """
import sys, time
from segkit import Catalog, Recipe, run
from segkit.running.recipe import Part

catalog = Catalog(third_party=False)
plan = Recipe({"segmenter": (Part("threshold"),)}).build(catalog, [sys.argv[1]])
start, worked = time.perf_counter(), time.process_time()
summary = run({"run": plan}, sys.argv[2], catalog=catalog)["run"]
assert summary["images"] == int(sys.argv[3]) and not summary["failed"], summary
print(time.perf_counter() - start, time.process_time() - worked)
"""


def seconds(checkout, photos, out):
    """How long a checkout takes without its start, by the clock and by the processor."""
    places = os.pathsep.join(str(Path(checkout, part)) for part in ("core", "plugins"))
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(photos), str(out), str(COUNT)],
        env={**os.environ, "PYTHONPATH": places},
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(figure) for figure in done.stdout.split()]


def test_that_files_reach_the_disk_costs_little(tmp_path):
    write_photographs(tmp_path / "photos", COUNT, SIZE)
    checkouts = {"before": os.environ.get("SEGKIT_BEFORE", HERE), "now": HERE}
    times = {name: [] for name in checkouts}
    for turn in range(int(os.environ.get("TURNS", "7"))):
        for name, checkout in checkouts.items():  # in turn, so that noise hits both
            out = tmp_path / f"{name}-{turn}"
            times[name].append(seconds(checkout, tmp_path / "photos", out))
    print(f"\n{COUNT} photographs, load {os.getloadavg()[0]:.1f} (target: at most 1.05)")
    for place, clock in enumerate(("by the clock", "by the processor")):
        before, now = ([figures[place] for figures in times[name]] for name in checkouts)
        ratios = sorted(late / early for early, late in zip(before, now, strict=True))
        print(
            f"{clock}: before {statistics.median(before):.2f} s, now {statistics.median(now):.2f} "
            f"s; ratio turn by turn {statistics.median(ratios):.3f} ({ratios[0]:.3f} to "
            f"{ratios[-1]:.3f})"
        )
