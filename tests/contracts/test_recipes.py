"""Every example recipe, run from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from segkit.cli.main import main

RECIPES = sorted((Path(__file__).parents[2] / "examples" / "recipes").glob("*.toml"))
OPTIONS = ("--shapes.count", "2", "--shapes.size", "96", "--gradcam.model", "shapes", "--quiet")


def segkit(*arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    return stop.value.code


def test_there_are_the_source_reports_six_and_more():
    names = {path.stem for path in RECIPES}
    assert {"max", "max-min", "idw-topk", "idw-topk-background"} < names
    assert {"centroid-grid", "centroid-grid-background"} < names
    for path in RECIPES:
        assert path.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_it_runs(recipe, tmp_path):
    own = OPTIONS if "center" not in recipe.stem else (*OPTIONS[:4], "--quiet")
    code = segkit("run", "--recipe", recipe, "--dataset", "shapes", *own, "-o", tmp_path / "r")
    assert code == 0
    summary = json.loads((tmp_path / "r" / "summary.json").read_text(encoding="utf-8"))
    assert summary["images"] == 2
    assert 0 <= summary["scores"]["iou"] <= 1


def test_all_in_one_sweep(tmp_path):
    flags = [flag for path in RECIPES for flag in ("--recipe", path)]
    code = segkit("sweep", *flags, "--dataset", "shapes", *OPTIONS, "-o", tmp_path / "s")
    assert code == 0
    board = json.loads((tmp_path / "s" / "leaderboard.json").read_text(encoding="utf-8"))
    assert {row["recipe"] for row in board["rows"]} == {path.stem for path in RECIPES}
    assert board["images"] == 2
