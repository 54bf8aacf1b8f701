"""`segkit --help` and `list-plugins` over importing their libraries; fifty packages over none.

And `segkit run photo.jpg`, the whole process, over `import torch`.

pytest -m benchmark -s tests/benchmarks/bench_startup.py
"""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import PIL.Image
import pytest
from spreads import spread

pytestmark = pytest.mark.benchmark
MANY = Path(__file__).parents[1] / "thirdparty/many.py"
COMMANDS = {
    "libraries": ["-c", "import click, pluggy, rich.console, pydantic"],
    "--help": ["-m", "segkit.cli.main", "--help"],
    "list-plugins": ["-m", "segkit.cli.main", "list-plugins"],
}


TURNS = int(os.environ.get("TURNS", "15"))


def cost(command, **variables):
    """Seconds by the clock and of the processor (what other programs disturb less)."""
    start = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.DEVNULL, env={**os.environ, **variables}
    )
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    return time.perf_counter() - start, used.ru_utime + used.ru_stime


def in_turn(jobs, times):
    """Each job's median of clock and processor time; noise hits all alike."""
    found = {name: [] for name in jobs}
    for _ in range(times):
        for name, (command, variables) in jobs.items():
            found[name].append(cost(command, **variables))
    return {
        name: tuple(statistics.median(column) for column in zip(*rows, strict=True))
        for name, rows in found.items()
    }


def told(name, one, other, target):
    """A line with both times and ratios."""
    print(
        f"{name}: {one[0] * 1000:.0f} ms ({one[1] * 1000:.0f} ms of the processor), "
        f"ratio {one[0] / other[0]:.2f} ({one[1] / other[1]:.2f}), target ≤ {target}"
    )


def test_start_up_costs_little_more_than_its_libraries():
    median = in_turn({name: (command, {}) for name, command in COMMANDS.items()}, TURNS)
    print()
    for name in ("--help", "list-plugins"):
        told(name, median[name], median["libraries"], 2)


def test_fifty_packages_cost_little_more_than_none(tmp_path):
    spec = importlib.util.spec_from_file_location("many", MANY)
    many = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(many)
    (tmp_path / "none").mkdir()
    many.install(tmp_path / "fifty", 50)
    command = COMMANDS["list-plugins"]
    places = {name: {"PYTHONPATH": str(tmp_path / name)} for name in ("none", "fifty")}
    done = subprocess.run(
        [sys.executable, *command, "--json"],
        env={**os.environ, **places["fifty"]},
        capture_output=True,
        check=True,
    )
    listed = [row for row in json.loads(done.stdout) if row["distribution"] != "segkit"]
    assert len(listed) == 50
    assert {row["status"] for row in listed} == {"found"}
    assert all(row["summary"] and row["where"] == str(tmp_path / "fifty") for row in listed)
    median = in_turn({name: (command, variables) for name, variables in places.items()}, TURNS)
    print()
    told("list-plugins with fifty packages", median["fifty"], median["none"], 1.5)


def test_a_photo_costs_little_more_than_torch(tmp_path):
    """Modules are compiled before, as in an installed package; the first turn is not counted."""
    from segkit_plugins.dataset.samples import Samples

    photo, _ = next(iter(Samples(only=("coffee",))))
    PIL.Image.fromarray(photo.pixels).save(tmp_path / "photo.jpg", quality=95)
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path / "compiled")}
    run = ("-m", "segkit.cli.main", "run", str(tmp_path / "photo.jpg"), "--quiet")
    rows = {"import torch": [], "segkit run photo.jpg": []}
    for turn in range(TURNS + 1):
        rows["import torch"].append(cost(["-c", "import torch"], **compiled))
        command = [*run, "-o", str(tmp_path / f"{turn}")]
        rows["segkit run photo.jpg"].append(cost(command, **compiled))
    print()
    for place, clock in enumerate(("by the clock", "of the processor")):
        base, whole = ([row[place] for row in several[1:]] for several in rows.values())
        ratios = spread((b / a for a, b in zip(base, whole, strict=True)), "≤ 1.6")
        print(
            f"segkit run photo.jpg over import torch, {clock}: {statistics.median(whole):.2f} s "
            f"over {statistics.median(base):.2f} s; ratio {ratios}"
        )
