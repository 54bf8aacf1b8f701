"""`segkit export`: a finished run in another format is as if it had been written at once."""

from __future__ import annotations

import json

import pytest
from PIL import Image as Picture
from reading import results, summary

from segkit import Catalog

STEPS = ("--gradcam.model", "shapes", "--gradcam.target", "top:3", "--gradcam.least-share", 0)
FLAGS = (*STEPS, "--segmenter", "threshold", "--paint.duplicates", 1, "--quiet")
FORMATS = ("coco", "labelme", "supervision", "voc", "yolo")
WRITE = tuple(word for name in FORMATS for word in ("--write", name))


@pytest.fixture
def photos(tmp_path):
    """Five scenes as files, in which masks overlap."""
    scenes = Catalog(third_party=False).load("dataset", "scenes")(count=5, size=96)
    (tmp_path / "photos").mkdir()
    for image, _ in (scenes[i] for i in range(5)):
        Picture.fromarray(image.pixels).save(tmp_path / "photos" / f"{image.name}.png")
    return tmp_path / "photos"


def content(folder, formats=FORMATS):
    """Every file of the formats, by its place."""
    files = [p for name in formats for p in (folder / name).rglob("*") if p.is_file()]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


@pytest.mark.parametrize("more", [(), ("--classes", "star,circle")], ids=["names", "asked"])
def test_an_export_is_what_the_run_would_have_written(segkit, photos, tmp_path, more):
    assert segkit("run", photos, *FLAGS, *more, *WRITE, "--split", 0.6, "-o", "once").code == 0
    assert segkit("run", photos, *FLAGS, *more, "-o", "later").code == 0
    before = (tmp_path / "later/summary.json").read_bytes()
    done = segkit("export", "later", *WRITE, "--split", 0.6)
    assert done.code == 0, done.err
    assert done.out.startswith("5 images exported: later/coco, later/labelme, ")
    assert content(tmp_path / "later") == content(tmp_path / "once")
    assert more or max(len(line["masks"]) for line in results(tmp_path / "later")) >= 2
    assert (tmp_path / "later/summary.json").read_bytes() == before
    # The run knows the new files as its own: it goes on, and starts again without them.
    assert segkit("run", photos, *FLAGS, *more, "-o", "later", "--resume").code == 0
    assert content(tmp_path / "later") == content(tmp_path / "once")
    assert segkit("run", photos, *FLAGS, *more, "-o", "later", "--overwrite").code == 0
    assert content(tmp_path / "later") == {}


def test_what_was_exported_is_exported_again(segkit, photos, tmp_path):
    assert segkit("run", photos, *FLAGS, "-o", "out").code == 0
    for share in (0.2, 0.6):
        assert segkit("export", "out", "--write", "yolo", "--split", share, "--quiet").code == 0
    assert len((tmp_path / "out/yolo/train.txt").read_text().split()) == 3


def test_a_generated_data_set_and_an_earlier_run(segkit, tmp_path):
    data = ("--dataset", "scenes", "--scenes.count", 2, "--scenes.size", 64)
    assert segkit("run", *data, *FLAGS, "-o", "out").code == 0
    told = summary(tmp_path / "out")
    assert told.pop("classes")["1"] == "circle"
    (tmp_path / "out/summary.json").write_text(json.dumps(told))  # as segkit 0.1 left it
    assert segkit("export", "out", "--write", "coco").code == 0
    made = json.loads((tmp_path / "out/coco/annotations.json").read_text())
    assert len(made["images"]) == 2
    assert made["categories"][0] == {"id": 1, "name": "circle", "supercategory": ""}


def test_an_image_that_is_gone_or_changed_fails_alone(segkit, photos, tmp_path):
    assert segkit("run", photos, *FLAGS, "-o", "out").code == 0
    first, second, third, *_ = sorted(photos.iterdir())
    first.unlink()
    Picture.new("RGB", (9, 9)).save(second)
    (tmp_path / f"out/masks/{third.stem}.png").write_bytes(b"torn")
    done = segkit("export", "out", "--write", "coco", "--coco.images", "none")
    assert done.code == 1
    assert f"failed: the image {first.stem} is gone from '{first}'; put it back" in done.err
    assert f"failed: the image {second.stem} has another size than its masks" in done.err
    assert len(done.err.splitlines()) == 3
    assert "Traceback" not in done.err
    assert done.out == "2 images exported: out/coco\n"
    assert len(json.loads((tmp_path / "out/coco/annotations.json").read_text())["images"]) == 2


def test_what_cannot_be_exported_is_said(segkit, photos, tmp_path):
    def sentence(*words):
        done = segkit("export", *words)
        assert done.code == 2
        return done.err.replace("\n", " ").removeprefix("Error: ").strip()

    coco = ("--write", "coco")
    assert segkit("run", photos, *FLAGS, "-o", "out").code == 0
    assert sentence("out") == "export needs a format; add --write, such as --write coco"
    assert sentence("photos", *coco).startswith("'photos' is no run of segkit; name the folder")
    assert sentence("gone", *coco).startswith("'gone' is no run of segkit")
    (tmp_path / "out/coco").mkdir()
    (tmp_path / "out/coco/annotations.json").write_text("mine")
    assert "out/coco/annotations.json is no file of this run" in sentence("out", *coco)
    assert (tmp_path / "out/coco/annotations.json").read_text() == "mine"
    (tmp_path / "out/summary.json").unlink()
    assert sentence("out", "--write", "voc") == (
        "the run in 'out' has not finished; go on with it by segkit run --resume"
    )
    flags = ("--dataset", "shapes", "--shapes.count", 1, "--shapes.size", 32, "--quiet")
    segkit("sweep", *flags, "--gradcam.model", "shapes", "--prompt", "topk,maxmin", "-o", "many")
    assert sentence("many", *coco).startswith("'many' holds the runs of several recipes; name one")
    segkit("run", *flags, *STEPS, "--segmenter", "threshold", "--write", "none", "-o", "none")
    done = segkit("export", "none", *coco)
    assert (done.code, done.err) == (
        1,
        "failed: shapes-00000 has no file in masks, for the run wrote none; run it again without "
        "--write none\n",
    )
