"""`segkit export --reviewed`: the masks that people kept or corrected, as a run of their own."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image as Picture

from segkit.cli.main import main


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    printed = capsys.readouterr()
    return int(stop.value.code or 0), printed.out, printed.err


def mask(path):
    with Picture.open(path) as picture:
        return np.asarray(picture) > 0


@pytest.fixture
def decided(desk, folder):
    """Three decisions, one of each kind, and an object that was added."""
    box = [16, 14, 41, 37]
    prompt = {"points": [], "signs": [], "box": box}
    desk.decide({"image": "p00", "mask": 0, "decision": "keep", "class": "sun"})
    desk.decide({"image": "p01", "mask": 0, "decision": "reject"})
    desk.decide({"image": "p02", "mask": 0, "decision": "corrected", "prompt": prompt})
    added = {"image": "p03", "mask": "new", "decision": "corrected"}
    desk.decide({**added, "class": "moon", "prompt": {"points": [[30, 25]], "signs": [True]}})
    return folder


def test_what_was_kept_and_corrected_is_written(decided, capsys):
    before = (decided / "masks/p02.png").read_bytes()
    code, out, err = run(
        capsys, *("export", decided, "--write", "coco", "--reviewed", "keep,corrected")
    )
    assert (code, err) == (0, "")
    assert out == f"3 images exported: {decided}/reviewed/coco\n"
    made = json.loads((decided / "reviewed/coco/annotations.json").read_text())
    names = {c["id"]: c["name"] for c in made["categories"]}
    assert sorted(names[a["category_id"]] for a in made["annotations"]) == ["moon", "object", "sun"]
    (row,) = [
        json.loads(text)
        for text in (decided / "review.jsonl").read_text().splitlines()
        if json.loads(text)["image"] == "p02"
    ]
    assert np.array_equal(mask(decided / "reviewed/masks/p02.png"), mask(decided / row["file"]))
    assert (decided / "masks/p02.png").read_bytes() == before
    assert np.array_equal(mask(decided / "reviewed/masks/p00.png"), mask(decided / "masks/p00.png"))


def test_only_what_is_asked_for_and_what_an_earlier_export_left_goes(decided, capsys):
    run(capsys, "export", decided, "--write", "coco", "--reviewed", "keep,corrected")
    code, out, _ = run(capsys, "export", decided, "--write", "labelme", "--reviewed", "keep")
    assert (code, out) == (0, f"1 image exported: {decided}/reviewed/labelme\n")
    assert not (decided / "reviewed/coco").exists()
    assert [p.name for p in (decided / "reviewed/masks").glob("*.png")] == ["p00.png"]


def test_it_is_a_run_that_is_scored(decided, photos, capsys):
    run(capsys, "export", decided, "--write", "masks", "--reviewed", "corrected")
    code, _, err = run(
        capsys,
        *("score", decided / "reviewed", photos, "--files.masks", photos / "truth"),
        *("--metric", "iou", "--quiet"),
    )
    assert (code, err) == (0, "")
    told = json.loads((decided / "reviewed/summary.json").read_text())
    assert told["images"] == 2
    assert told["scores"]["iou"] > 0.5


def test_what_cannot_be_exported_is_said(folder, decided, capsys):
    code, _, err = run(capsys, "export", decided, "--write", "coco", "--reviewed", "kept")
    assert (code, err) == (
        2,
        "Error: --reviewed kept: 'kept' is no decision; did you mean 'keep'?\n",
    )
    (decided / "review.jsonl").unlink()
    code, _, err = run(capsys, "export", decided, "--write", "coco", "--reviewed", "keep")
    assert code == 2
    assert "0 are decided about, and none so; look through them by segkit review" in err


def test_a_corrected_mask_that_is_gone_fails_its_image_alone(decided, capsys):
    for path in (decided / "review/masks").glob("p02.*"):
        path.unlink()
    code, out, err = run(
        capsys, "export", decided, "--write", "coco", "--reviewed", "keep,corrected"
    )
    assert (code, out) == (1, f"2 images exported: {decided}/reviewed/coco\n")
    assert err.startswith("failed: '")
    assert err.endswith("does not exist; check the name\n")
