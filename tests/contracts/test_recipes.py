"""Every example recipe, run from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from segkit import Recipe
from segkit.cli.main import main

RECIPES = sorted((Path(__file__).parents[2] / "examples" / "recipes").glob("*.toml"))
OPTIONS = ("--shapes.count", "2", "--shapes.size", "96", "--gradcam.model", "shapes", "--quiet")


def segkit(*arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    return stop.value.code


FIGURES = {
    "max": "0.726",
    "max-min": "0.719",
    "idw-topk": "0.769",
    "idw-topk-background": "0.725",
    "centroid-grid": "0.860",
    "centroid-grid-background": "0.831",
}
"""Mean IoU in the source reports."""


def test_there_are_the_source_reports_six_with_their_figures_and_more():
    assert FIGURES.keys() < {path.stem for path in RECIPES}
    for path in RECIPES:
        first, *_ = path.read_text(encoding="utf-8").partition("\n\n")
        assert first.startswith("# ")
        assert f"--recipe {path.name}" in first
        if path.stem in FIGURES:
            assert f"mean IoU {FIGURES[path.stem]}" in first


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_it_leaves_the_data_set_open(recipe):
    parts = Recipe.load(recipe).parts
    assert parts.keys() <= {"saliency", "transform", "prompt", "segmenter", "selector"}
    assert parts["prompt"]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_it_runs(recipe, tmp_path):
    # A click on the centre reads no heatmap, so there is no Grad-CAM that could take options.
    own = OPTIONS if recipe.stem != "center" else (*OPTIONS[:4], "--quiet")
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
