"""Judges on the command line: quality in what a run leaves, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from reading import labels, results, summary

from segkit import Pipeline, UsageError

SHAPES = ("--dataset", "shapes", "--shapes.count", 2, "--shapes.size", 96)
LIGHT = (*SHAPES, "--gradcam.model", "shapes", "--segmenter", "grabcut", "--prompt", "topk")


def test_quality_is_in_what_a_run_leaves(segkit, tmp_path):
    run = (*LIGHT, "--judge", "score", "--metric", "none", "--write", "coco", "-o", "out")
    done = segkit("run", *run)
    assert done.code == 0, done.err
    for line in results(tmp_path / "out"):
        (mask,) = line["masks"]
        assert line["quality"] == pytest.approx(mask["quality"], abs=1e-5)
        assert mask["quality"] == pytest.approx(min(mask["score"], 1), abs=1e-5)
    written = json.loads((tmp_path / "out/coco/annotations.json").read_text())
    assert all(0 <= one["quality"] <= 1 for one in written["annotations"])
    doubtful = [line["name"] for line in results(tmp_path / "out") if line["quality"] < 0.5]
    assert sorted(summary(tmp_path / "out")["doubtful_images"]) == sorted(doubtful)
    assert "quality" in (tmp_path / "out/report.html").read_text()


def test_weak_masks_are_in_no_label_and_counted(segkit, tmp_path):
    run = (*LIGHT, "--judge", "score", "--least-quality", "1.0", "--metric", "iou", "-o", "out")
    done = segkit("run", *run)
    assert done.code == 0, done.err
    lines = results(tmp_path / "out")
    weak = [line for line in lines if line.get("left_out")]
    assert sum(line["left_out"] for line in weak) == summary(tmp_path / "out").get("left_out", 0)
    for line in weak:
        assert line["masks"] == []
        assert not labels(tmp_path / f"out/masks/{line['name']}.png").any()
    if weak:
        assert "of a quality under 1" in done.out
    assert "least_quality = 1.0" in (tmp_path / "out/recipe.toml").read_text()
    again = segkit("run", *LIGHT, "--judge", "score", "--metric", "iou", "-o", "out", "--resume")
    assert again.code == 2
    assert "was run with least_quality = 1.0, now it is 0.0" in again.err


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (
            ("--least-quality", "0.6"),
            "--least-quality 0.6 goes by what a judge says of each mask, and there is none; add "
            "--judge",
        ),
        (
            ("--judge", "score", "--least-quality", "2"),
            "--least-quality should be from 0 to 1, but is 2.0",
        ),
        (("--judge", "scoer"), "did you mean"),
        (("--judge", "score", "--judge", "learned"), "--judge takes one step, but was given"),
    ],
)
def test_what_cannot_be_is_one_sentence(segkit, flags, sentence):
    done = segkit("run", *LIGHT, *flags, "--dry-run")
    assert done.code == 2
    assert sentence in done.err
    assert "Traceback" not in done.err


def test_a_pipeline_gives_the_quality():
    pixels = np.full((48, 64, 3), 30, np.uint8)
    pixels[8:30, 10:40] = 220
    steps = {"prompt": "center", "segmenter": "grabcut", "judge": "score", "select": "quality"}
    with Pipeline(**steps) as pipeline:
        result = pipeline(pixels)
    assert result.quality == pytest.approx(float(result.masks.quality[0]))
    assert result.left_out == 0
    with Pipeline(prompt="center", segmenter="grabcut") as pipeline:
        assert pipeline(pixels).quality is None
    with pytest.raises(UsageError, match="add --judge"):
        Pipeline(**{**steps, "judge": "none"}, least_quality=0.5)
