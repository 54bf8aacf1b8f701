"""`segkit export --reviewed`: the masks that people kept or corrected, as a run of their own."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image as Picture

from segkit import Catalog
from segkit.cli.main import main
from segkit_ui.review.desk import Desk


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


def test_what_a_judge_doubts_is_left_out_but_not_what_a_person_drew(photos, tmp_path, capsys):
    files = [photos / f"p0{i}.png" for i in range(4)]
    out = tmp_path / "judged"
    steps = ("--saliency", "none", "--prompt", "center", "--judge", "score", "--quiet")
    assert run(capsys, "run", *files, *steps, "--device", "cpu", "-o", out)[0] == 0
    desk = Desk(out, Catalog(third_party=False))
    box = {"points": [], "signs": [], "box": [16, 14, 41, 37]}
    for name in ("p00", "p01", "p02"):
        desk.decide({"image": name, "mask": 0, "decision": "keep"})
    desk.decide({"image": "p03", "mask": 0, "decision": "corrected", "prompt": box})
    desk.corrector.close()
    quality = {n: desk.run.lines[n].masks[0].quality for n in ("p00", "p01", "p02", "p03")}
    weakest, middle, best = sorted(list(quality)[:3], key=quality.get)
    assert quality[weakest] < quality[middle]
    flags = ("export", out, "--write", "coco", "--reviewed", "keep,corrected", "--least-quality")
    least = quality[middle]
    code, printed, err = run(capsys, *flags, least)
    assert (code, err) == (0, "")
    assert printed == (
        f"3 images exported: {out}/reviewed/coco\nleft out: 1 mask of a quality under {least:g}\n"
    )
    masks = sorted(p.stem for p in (out / "reviewed/masks").glob("*.png"))
    assert masks == sorted({middle, best, "p03"})
    code, printed, _ = run(capsys, *flags, 1)
    assert (code, printed.splitlines()[0]) == (0, f"1 image exported: {out}/reviewed/coco")
    keep = ("export", out, "--write", "coco", "--reviewed", "keep", "--least-quality", 1)
    code, _, err = run(capsys, *keep)
    assert (code, err.replace("\n", " ")) == (
        2,
        f"Error: --least-quality 1: of the 3 masks asked for in '{out}' all have a lower quality; "
        "lower it ",
    )
