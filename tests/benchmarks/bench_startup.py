"""`segkit --help` and `list-plugins` over importing their libraries; fifty packages over none.

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

import pytest

pytestmark = pytest.mark.benchmark
MANY = Path(__file__).parents[1] / "thirdparty/many.py"
COMMANDS = {
    "libraries": ["-c", "import click, pluggy, rich.console, pydantic"],
    "--help": ["-m", "segkit.cli.main", "--help"],
    "list-plugins": ["-m", "segkit.cli.main", "list-plugins"],
}


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
    median = in_turn({name: (command, {}) for name, command in COMMANDS.items()}, 15)
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
    median = in_turn({name: (command, variables) for name, variables in places.items()}, 15)
    print()
    told("list-plugins with fifty packages", median["fifty"], median["none"], 1.5)
