"""Recipes by name: those that come with segkit, and the sentences where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from reading import results, summary

from segkit import Pipeline, Recipe, UsageError
from segkit.running.recipe_files import bundled_recipes, recipe_file, recipe_summary

SHAPES = ("--dataset", "shapes", "--shapes.count", 1, "--shapes.size", 96)
LIGHT = (*SHAPES, "--gradcam.model", "shapes", "--write", "none", "--quiet")


def test_each_says_what_it_is_for_and_leaves_data_and_files_open():
    assert "objects" in bundled_recipes()
    for name, path in bundled_recipes().items():
        assert len(recipe_summary(path)) > 20, name
        assert not Recipe.load(path).parts.keys() & {"dataset", "metric", "writer"}, name


@pytest.mark.parametrize("name", bundled_recipes())
def test_it_runs_by_its_name(segkit, tmp_path, name):
    done = segkit("run", "--recipe", name, *LIGHT, "-o", "out")
    assert done.code == 0, done.err
    assert summary(tmp_path / "out")["failed"] == 0
    assert len(results(tmp_path / "out")) == 1


def test_flags_win_over_it(segkit):
    done = segkit("run", "--recipe", "objects", "--prompt", "box", "--seed", 3, "--dry-run")
    assert done.code == 0, done.err
    assert "seed = 3" in done.out
    assert 'name = "box"' in done.out
    assert 'name = "components"' not in done.out


def test_a_sweep_calls_it_by_its_name(segkit, tmp_path):
    (tmp_path / "mine.toml").write_text('[[prompt]]\nname = "center"\n')
    recipes = ("--recipe", "objects", "--recipe", "mine.toml")
    done = segkit("sweep", *recipes, *LIGHT, "--json", "-o", "out")
    assert done.code == 0, done.err
    board = json.loads((tmp_path / "out" / "leaderboard.json").read_text(encoding="utf-8"))
    assert {row["recipe"] for row in board["rows"]} == {"objects", "mine"}


def test_python_takes_the_name(tmp_path):
    assert Pipeline("objects").recipe == Recipe.load(bundled_recipes()["objects"])
    with pytest.raises(UsageError, match="did you mean 'objects'"):
        Pipeline("objetcs")


def test_the_name_wins_over_a_file_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("objects", "own"):
        Path(name).write_text("[run]\nseed = 7\n")
    assert recipe_file("objects") == bundled_recipes()["objects"]
    assert recipe_file("./objects") == Path("objects")
    assert recipe_file("own") == Path("own")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("objcts", "--recipe objcts is neither a bundled recipe nor a file; did you mean"),
        ("objects.toml", "nor a file; did you mean 'objects'?"),
        ("x", f"a file; bundled: {', '.join(bundled_recipes())}; or give FILE.toml"),
    ],
)
def test_a_word_that_is_none_gets_one_sentence(segkit, given, sentence):
    done = segkit("run", "--recipe", given)
    assert done.code == 2
    assert sentence in done.err
    assert len(done.err.splitlines()) == 1


def test_they_are_listed(segkit):
    assert "--recipe  objects" in segkit("list-plugins").out
    assert "--recipe" not in segkit("list-plugins", "--kind", "fuser").out
    help_text = " ".join(segkit("run", "--help").out.split())
    assert f"Bundled: {', '.join(bundled_recipes())}" in help_text


def test_the_shell_completes_them(segkit, monkeypatch):
    monkeypatch.setenv("_SEGKIT_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "segkit run --recipe ob")
    monkeypatch.setenv("COMP_CWORD", "3")
    out = segkit().out.split()
    assert "plain,objects" in out
    assert "file,ob" in out


def test_one_of_them_can_be_what_a_run_does_by_default(segkit, monkeypatch):
    monkeypatch.setattr("segkit.kinds.DEFAULT_RECIPE", "auto")
    done = segkit("run", "--dataset", "shapes", "--metric", "iou", "--dry-run")
    assert done.code == 0, done.err
    assert 'name = "best"' in done.out
    chosen = segkit("run", "--dataset", "shapes", "--prompt", "topk", "--dry-run")
    assert 'name = "best"' not in chosen.out  # a step is chosen, so the others are each kind's own
    assert "best" in repr(Pipeline())
    assert "best" not in repr(Pipeline(prompt="topk"))
