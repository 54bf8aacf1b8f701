"""`segkit export`: a finished run in another format is as if it had been written at once."""

from __future__ import annotations

import json

import pytest
from PIL import Image as Picture
from reading import labels, results, summary

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


@pytest.mark.parametrize(
    "more",
    [(), pytest.param(("--classes", "star,circle"), marks=pytest.mark.slow)],
    ids=["names", "asked"],
)
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


@pytest.mark.parametrize("fuser", ["paint", "own"])
def test_weak_masks_are_left_out_as_the_run_would_have(segkit, photos, tmp_path, fuser):
    judged = (*STEPS, "--segmenter", "threshold", "--judge", "score")
    judged += {
        "paint": ("--paint.duplicates", 1, "--paint.overlap", "order"),
        "own": ("--plugin", tmp_path / "own.py", "--fuser", "upside-down"),
    }[fuser]
    (tmp_path / "own.py").write_text(UPSIDE_DOWN)
    assert segkit("run", photos, *judged, "-o", "all").code == 0
    qualities = sorted(m["quality"] for line in results(tmp_path / "all") for m in line["masks"])
    least = qualities[len(qualities) // 2]
    assert qualities[0] < least
    flags = ("--least-quality", f"{least - 1e-7:.7f}")
    done = segkit("run", photos, *judged, *flags, *WRITE, "-o", "strict")
    assert done.code == 0, done.err
    count = summary(tmp_path / "strict")["left_out"]
    masks = {p: p.read_bytes() for p in (tmp_path / "all/masks").rglob("*") if p.is_file()}
    more = judged[judged.index("--plugin") : judged.index("--fuser")] if fuser == "own" else ()
    done = segkit("export", "all", *WRITE, *flags, *more)
    assert done.code == 0, done.err
    plural = "" if count == 1 else "s"
    assert f"left out: {count} mask{plural} of a quality under {least:g}" in done.out
    assert content(tmp_path / "all") == content(tmp_path / "strict")
    assert {p: p.read_bytes() for p in masks} == masks
    # All of them are there again without the flag.
    assert "left out" not in segkit("export", "all", *WRITE, *more).out
    assert content(tmp_path / "all") != content(tmp_path / "strict")


UPSIDE_DOWN = """
from segkit import Fuser, Image, Labels, Masks, hookimpl
import numpy as np


class UpsideDown(Fuser):
    '''Every mask is a thing, the first on top.'''

    name = "upside-down"

    def __call__(self, image: Image, masks: Masks) -> Labels:
        ids = np.zeros(image.size, np.int32)
        for mask in masks.masks[::-1]:
            ids[mask] = 1
        return Labels(ids, {1: "thing"})


@hookimpl
def segkit_fusers():
    return [UpsideDown]
"""


def test_what_a_class_map_shows_beside_the_masks_stays(segkit, photos, tmp_path):
    (tmp_path / "map.py").write_text(CLASS_MAP)
    flags = ("--plugin", tmp_path / "map.py", "--only", "map")
    steps = ("--segmenter", "threshold", "--segmenter", "left-half", "--judge", "score")
    assert segkit("run", photos, *flags, *STEPS, *steps, "-o", "out").code == 0
    done = segkit("export", "out", "--write", "voc", "--least-quality", 1, *flags)
    assert done.code == 0, done.err
    assert "left out: " in done.out
    for line in results(tmp_path / "out"):
        assert all(mask["quality"] < 1 for mask in line["masks"])
        root = tmp_path / "out/voc/VOCdevkit/VOC2012"
        ids = labels(root / f"SegmentationClass/{line['name']}.png")
        assert (ids[:, :4] > 0).any()
        assert not (ids[:, 48:] % 255).any()


CLASS_MAP = """
from segkit import Image, Labels, Segmenter, hookimpl
import numpy as np


class LeftHalf(Segmenter):
    '''The left half of every image.'''

    name = "left-half"

    def __call__(self, image: Image) -> Labels:
        ids = np.zeros(image.size, np.int32)
        ids[:, : image.size[1] // 2] = 1
        return Labels(ids, {1: "left"})


@hookimpl
def segkit_segmenters():
    return [LeftHalf]
"""


def test_what_cannot_be_chosen_by_quality_is_said(segkit, photos, tmp_path):
    def sentence(*words):
        done = segkit("export", "out", *words)
        assert done.code == 2
        return done.err.replace("\n", " ").removeprefix("Error: ").strip()

    least = ("--least-quality", 0.5)
    assert segkit("run", photos, *FLAGS, "-o", "out").code == 0
    assert sentence("--write", "coco", "--least-quality", "1.5") == (
        "--least-quality should be from 0 to 1, but is 1.5"
    )
    assert "should be from 0 to 1, but is nan" in sentence(
        "--write", "coco", "--least-quality", "nan"
    )
    name = min(photos.iterdir()).stem
    assert sentence("--write", "coco", *least) == (
        "--least-quality 0.5 goes by what a judge says of each mask, and the masks of "
        f"{name} in 'out' have no quality; run again with --judge"
    )
    assert not (tmp_path / "out/coco").exists()
    judged = ("--judge", "score", "-o", "out", "--overwrite")
    assert segkit("run", photos, *FLAGS, *judged).code == 0
    assert sentence("--write", "masks", *least) == (
        "--write masks --least-quality 0.5 would write over the masks of 'out', from which it "
        "chooses; leave one of them out"
    )
