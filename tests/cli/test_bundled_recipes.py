"""Recipes by name: those that come with segkit, and the sentences where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from PIL import ImageDraw
from reading import results, summary

from segkit import Pipeline, Recipe, UsageError
from segkit.running.recipe_files import bundled_recipes, recipe_file, recipe_summary

LIGHT = ("--dataset", "samples", "--samples.only", "cat", "--write", "none", "--quiet")


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


# ---- photos of nothing, and of very much --------------------------------------------------------


@pytest.fixture
def odd(tmp_path):
    """A folder with a uniform picture, noise, text and 200 things."""
    rng = np.random.default_rng(0)
    text = Picture.new("RGB", (200, 150), "white")
    for row in range(12):
        ImageDraw.Draw(text).text((4, 12 * row), "nothing but words, line by line", "black")
    discs = Picture.new("RGB", (200, 150), (60, 120, 60))
    for index in range(200):
        x, y = 10 * (index % 20), 15 * (index // 20)
        ImageDraw.Draw(discs).ellipse((x, y, x + 7, y + 7), (220, 40 + index, 40))
    pictures = {
        "discs": discs,
        "noise": Picture.fromarray(rng.integers(0, 256, (150, 200, 3), np.uint8)),
        "text": text,
        "uniform": Picture.new("RGB", (200, 150), (90, 90, 90)),
    }
    (tmp_path / "odd").mkdir()
    for name, picture in pictures.items():
        picture.save(tmp_path / "odd" / f"{name}.png")
    return tmp_path / "odd"


@pytest.mark.parametrize(
    "flags",
    [
        ("--recipe", "objects"),
        ("--prompt", "components+erase+uncovered", "--gradcam.table", "coco"),
    ],
    ids=["objects", "erase"],
)
def test_pictures_of_nothing_and_of_200_things_have_a_defined_result(segkit, tmp_path, odd, flags):
    done = segkit("run", odd, *flags, "--write", "none", "--json", "-o", "out")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert (found["images"], found["failed"]) == (4, 0)
    lines = results(tmp_path / "out")
    assert all(len(line["masks"]) <= 60 for line in lines)  # five classes of 12 prompts at most
    empty = [line["name"] for line in lines if not any(m["pixels"] for m in line["masks"])]
    assert found["empty_images"] == empty


def test_a_table_without_the_classifiers_classes_is_one_sentence(segkit):
    done = segkit("run", "--recipe", "objects", "--gradcam.model", "shapes", "--dry-run")
    assert done.code == 0  # nothing is opened yet
    done = segkit("run", "--recipe", "objects", "--gradcam.model", "shapes", *LIGHT)
    assert done.code == 2
    assert "--gradcam.table coco knows none of the 5 classes of shapes" in done.err
    assert "Traceback" not in done.err


def test_erase_without_saliency_is_refused_in_a_sentence(segkit):
    done = segkit("run", "--saliency", "none", "--prompt", "center+erase")
    assert done.code == 2
    assert "erase needs 'heatmap', and nothing before it makes one; add --saliency" in done.err
    alone = segkit("run", "--prompt", "uncovered")
    assert alone.code == 2
    assert "write --prompt topk+uncovered" in alone.err
