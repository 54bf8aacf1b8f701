"""`segkit score`: figures of kept masks, with the real parts and without segmenting again."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image as Picture
from reading import labels, results, summary

RUN = ("--dataset", "shapes", "--shapes.count", 3, "--shapes.size", 96, "--gradcam.model", "shapes")
LIGHT = (*RUN, "--segmenter", "grabcut", "--prompt", "topk", "--quiet")


@pytest.fixture
def kept(segkit, tmp_path):
    """A run without figures."""
    done = segkit("run", *LIGHT, "--metric", "none", "-o", "out")
    assert done.code == 0, done.err
    return tmp_path / "out"


def test_figures_are_those_of_a_run_with_that_metric(segkit, kept, tmp_path):
    names = ("iou", "boundary-iou", "class-iou", "hit-rate", "voc-miou")
    flags = [flag for name in names for flag in ("--metric", name)]
    assert segkit("run", *LIGHT, *flags, "-o", "whole").code == 0
    done = segkit("score", "out", *flags)
    assert done.code == 0, done.err
    assert "3 images scored" in done.out
    now, whole = summary(kept), summary(tmp_path / "whole")
    assert now["scores"] == pytest.approx(whole["scores"])
    assert now["figures"] == whole["figures"]
    for metric, counts in now["details"]["counts"].items():
        assert counts == pytest.approx(whole["details"]["counts"][metric])
    for one, other in zip(results(kept), results(tmp_path / "whole"), strict=True):
        assert one["scores"] == pytest.approx(other["scores"])
        assert one["counts"].keys() == other["counts"].keys()
    assert "boundary-iou" in (kept / "report.html").read_text()


def test_without_a_metric_all_that_fit_are_worked_out(segkit, kept):
    done = segkit("score", "out", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["images"] == 3
    assert {"iou", "dice", "accuracy", "hit-rate"} <= {*told["scores"]}
    assert "pointing-game" not in told["scores"]
    assert told["scores"].items() <= summary(kept)["scores"].items()


def test_figures_that_were_there_stay_and_a_run_goes_on_as_before(segkit, tmp_path):
    assert segkit("run", *LIGHT, "--metric", "iou", "-o", "out").code == 0
    assert segkit("score", "out", "--metric", "dice", "--quiet").code == 0
    assert {*summary(tmp_path / "out")["scores"]} == {"iou", "dice"}
    assert segkit("run", *LIGHT, "--metric", "iou", "-o", "out", "--resume").code == 0
    assert all({"iou", "dice"} <= {*line["scores"]} for line in results(tmp_path / "out"))


@pytest.fixture
def photos(tmp_path):
    """Photos of a bright square, and masks of two of them."""
    for folder in ("photos", "masks"):
        (tmp_path / folder).mkdir()
    for place, name in enumerate("abc"):
        pixels, mask = np.full((48, 64, 3), 30, np.uint8), np.zeros((48, 64), np.uint8)
        pixels[8:30, 10 + place : 40] = 220
        mask[8:30, 10 + place : 40] = 255
        Picture.fromarray(pixels).save(tmp_path / f"photos/{name}.png")
        if name != "c":
            Picture.fromarray(mask).save(tmp_path / f"masks/{name}.png")
    return tmp_path


def test_a_truth_that_came_later_and_lacks_an_image(segkit, photos):
    run = ("photos", "--prompt", "center", "--segmenter", "grabcut", "--quiet")
    assert segkit("run", *run, "-o", "out").code == 0
    assert summary(photos / "out")["scores"] == {}
    done = segkit("score", "out", "--files.masks", "masks", "--metric", "iou")
    assert done.code == 0, done.err
    assert "2 images scored" in done.out
    assert "1 image left out (c): " in done.out
    assert "has no mask in 'masks'" in done.out
    ious = []
    for name in "ab":
        found = labels(photos / f"out/masks/{name}.png") > 0
        true = labels(photos / f"masks/{name}.png") > 0
        ious.append((found & true).sum() / (found | true).sum())
    assert summary(photos / "out")["scores"]["iou"] == pytest.approx(np.mean(ious), abs=1e-6)
    lines = {line["name"]: line for line in results(photos / "out")}
    assert "iou" in lines["a"]["scores"]
    assert lines["c"]["scores"] == {}


def test_each_recipe_of_a_sweep_is_scored(segkit, tmp_path):
    flags = ("--dataset", "shapes", "--shapes.count", 2, "--shapes.size", 96)
    sweep = ("--gradcam.model", "shapes", "--segmenter", "grabcut", "--prompt", "topk,center")
    assert segkit("sweep", *flags, *sweep, "--metric", "iou", "-o", "out", "--quiet").code == 0
    done = segkit("score", "out", "--metric", "dice")
    assert done.code == 0, done.err
    for name in ("topk", "center"):
        assert f"{name}: 2 images scored" in done.out
        assert "dice" in summary(tmp_path / "out/recipes" / name)["scores"]


def test_what_cannot_be_scored_is_told_in_a_sentence(segkit, kept, tmp_path):
    def said(*arguments):
        done = segkit("score", *arguments)
        assert done.code == 2
        assert "Traceback" not in done.err
        return done.err.strip().removeprefix("Error: ")

    assert said("out", "--metric", "pointing-game") == (
        "pointing-game needs 'heatmaps', which a run does not keep; run it again with --metric "
        "pointing-game"
    )
    assert said("nowhere") == (
        "'nowhere' holds no results.jsonl, so there are no masks to score; name the folder that "
        "segkit run or segkit sweep has written"
    )
    assert said("out", "--metric", "iou", "--dataset", "samples") == (
        "figures need a truth, and the data set samples has none; choose one with truth, or name "
        "its masks"
    )
    other = said("out", "--metric", "iou", "--dataset", "scenes", "--scenes.count", 1)
    assert other.startswith("none of the images in 'out' could be scored: the data set has no ")
    (kept / "summary.json").rename(tmp_path / "away")
    assert said("out", "--metric", "iou") == (
        "the run in 'out' has not finished (no summary.json that can be read); go on with it by "
        "--resume first"
    )
    (tmp_path / "away").rename(kept / "summary.json")
    shutil.rmtree(kept / "masks")
    gone = said("out", "--metric", "iou")
    assert gone.startswith("none of the images in 'out' could be scored: ")
    assert segkit("run", *LIGHT, "--write", "none", "-o", "bare").code == 0
    assert said("bare", "--metric", "iou") == (
        "'bare' keeps no masks, as after --write none; run it again with --write masks"
    )
    before = summary(kept)
    assert before["scores"] == {}  # nothing was written


def test_a_run_without_the_newer_keys_is_scored(segkit, kept):
    """As an older segkit has left it."""
    path = kept / "results.jsonl"
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    for line in lines:
        for key in ("shown", "regions", "source", "quality"):
            line.pop(key, None)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = segkit("score", "out", "--metric", "iou")
    assert done.code == 0, done.err
    assert "3 images scored" in done.out
