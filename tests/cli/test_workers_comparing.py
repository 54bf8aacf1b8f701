"""`--engine workers` of sweep, diagnose and robustness: what one process gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from engine_toys import files_in, lines_in

DATA = (
    "--dataset",
    "shapes",
    "--shapes.count",
    "8",
    "--shapes.size",
    "64",
    "--metric",
    "iou",
    "--quiet",
)
HEAT = ("--gradcam.model", "shapes", "--gradcam.size", "64", "--prompt", "maxmin,topk")

CASES = {
    "sweep": (*DATA, *HEAT),
    "diagnose": (*DATA, *HEAT),
    "robustness": (*DATA, *HEAT, "--perturb", "gaussian-noise,point-jitter", "--levels", "1"),
}

TIMES = ("seconds", "images_per_second", "workers")


def timeless(value):
    """What a JSON file holds, without times."""
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if key not in TIMES}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def figures_in(directory):
    """The JSON files of a comparison by their places, and each recipe's lines."""
    files = {
        path.relative_to(directory).as_posix(): timeless(json.loads(path.read_text()))
        for path in directory.rglob("*.json")
    }
    lines = {path.name: timeless(lines_in(path)) for path in directory.glob("recipes/*")}
    return files | lines


@pytest.mark.parametrize(
    "command",
    [c if c == "sweep" else pytest.param(c, marks=pytest.mark.slow) for c in CASES],
)
def test_the_same_as_one_process(segkit, command):
    here, there = Path("here"), Path("there")
    assert segkit(command, *CASES[command], "-o", str(here)).code == 0
    engine = ("--engine", "workers", "--workers", "2")
    assert segkit(command, *CASES[command], "-o", str(there), *engine).code == 0
    assert figures_in(there) == figures_in(here)
    pictures = {n: c for n, c in files_in(here).items() if not n.endswith((".json", ".csv"))}
    assert pictures
    found = files_in(there)
    assert {name: found.get(name) for name in pictures} == pictures
