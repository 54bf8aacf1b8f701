"""`segkit --help` and `list-plugins` over importing the libraries that they need.

pytest -m benchmark -s tests/benchmarks/bench_startup.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.benchmark
COMMANDS = {
    "libraries": ["-c", "import click, pluggy, rich.console, pydantic"],
    "--help": ["-m", "segkit.cli.main", "--help"],
    "list-plugins": ["-m", "segkit.cli.main", "list-plugins"],
}


def test_start_up_costs_little_more_than_its_libraries():
    times = {name: [] for name in COMMANDS}
    for _ in range(15):
        for name, command in COMMANDS.items():  # in turn, so that noise hits all
            start = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
            times[name].append(time.perf_counter() - start)
    median = {name: statistics.median(t) for name, t in times.items()}
    print()
    for name in ("--help", "list-plugins"):
        ratio = median[name] / median["libraries"]
        print(f"{name}: {median[name] * 1000:.0f} ms, ratio {ratio:.2f} (target ≤ 2)")
