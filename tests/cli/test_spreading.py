"""Beyond 10,000 images a run's folders have subfolders; who reads them goes by what it says."""

from __future__ import annotations

import json
import shutil

import pytest
from PIL import Image as Picture
from reading import results, summary

from segkit import Catalog
from segkit.reporting.report_folder import Folder
from segkit.reporting.report_gallery import picture_files
from segkit.values import spreading
from segkit.values.spreading import levels_for, levels_in, subfolder

STEPS = ("--gradcam.model", "shapes", "--gradcam.target", "top:3", "--gradcam.least-share", 0)
FLAGS = (*STEPS, "--segmenter", "threshold", "--paint.duplicates", 1, "--quiet")
FORMATS = ("coco", "voc", "yolo", "supervision", "label-studio")
WRITE = tuple(word for name in FORMATS for word in ("--write", name))


@pytest.fixture
def photos(tmp_path):
    scenes = Catalog(third_party=False).load("dataset", "scenes")(count=4, size=96)
    (tmp_path / "photos").mkdir()
    for image, _ in (scenes[i] for i in range(4)):
        Picture.fromarray(image.pixels).save(tmp_path / "photos" / f"{image.name}.png")
    return tmp_path / "photos"


def flat(folder):
    """Every file's content by its place without subfolders, but for what names places."""
    files = {}
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        if path.is_file() and len(parts) > 1:
            place = "/".join(part for part in parts if len(part) > 2)
            assert place not in files
            files[place] = path
    return files


def test_how_deep():
    assert [levels_for(n) for n in (0, 10_000, 10_001, 2_560_000, 2_570_000, 10**9)] == [
        *(0, 0, 1, 1, 2, 2)
    ]
    assert subfolder("a", 0) == ""
    assert subfolder("a", 1) == "ca/"  # a promise: other versions look there
    assert subfolder("a", 2) == "ca/97/"


def test_a_spread_run_is_the_flat_one_in_subfolders(segkit, tmp_path, photos, monkeypatch):
    assert segkit("run", photos, *FLAGS, *WRITE, "-o", "flat").code == 0
    monkeypatch.setattr(spreading, "MOST", 3)
    assert segkit("run", photos, *FLAGS, *WRITE, "-o", "out").code == 0
    out = tmp_path / "out"
    assert levels_in(out) == 1
    assert levels_in(tmp_path / "flat") == 0
    ours, theirs = flat(out), flat(tmp_path / "flat")
    assert ours.keys() == theirs.keys()
    named = ("coco/", "label-studio/")  # photos stand in them by their places
    for place, path in ours.items():
        if not place.startswith(named) or path.suffix != ".json":
            assert path.read_bytes() == theirs[place].read_bytes(), place
    name = results(out)[0]["name"]
    below = subfolder(name, 1)
    assert (out / f"masks/{below}{name}.png").is_file()
    assert f"masks/{below}{name}.png" in results(out)[0]["files"]
    assert (out / f"overlay/{below}{name}.jpg").is_file()
    assert (out / f"voc/VOCdevkit/VOC2012/SegmentationClass/{name}.png").is_file()
    told = json.loads((out / "coco/annotations.json").read_text())
    assert all((out / "coco/images" / image["file_name"]).is_file() for image in told["images"])
    before = json.loads((tmp_path / "flat/coco/annotations.json").read_text())
    assert told["annotations"] == before["annotations"]
    assert len(picture_files(Folder.read(out))) == 4


def test_what_reads_a_run_finds_its_masks(segkit, tmp_path, photos, monkeypatch):
    monkeypatch.setattr(spreading, "MOST", 3)
    assert segkit("run", photos, *FLAGS, *WRITE, "-o", "once").code == 0
    assert segkit("run", photos, *FLAGS, "-o", "later").code == 0
    assert segkit("export", "later", *WRITE, "--quiet").code == 0
    ours, theirs = (
        {
            p.relative_to(tmp_path / d).as_posix(): p.read_bytes()
            for p in flat(tmp_path / d).values()
        }
        for d in ("later", "once")
    )
    assert ours == theirs
    masks = tmp_path / "truth"
    masks.mkdir()
    for path in (tmp_path / "once/masks").glob("??/*.png"):
        shutil.copy2(path, masks)
    done = segkit("score", "later", "--files.masks", "truth", "--metric", "iou", "--quiet")
    assert done.code == 0, done.err
    assert summary(tmp_path / "later")["scores"]["iou"] == pytest.approx(1)
    for number in (1, 2):
        flags = (photos, *FLAGS, *WRITE, "--shard", f"{number}/2")
        assert segkit("run", *flags, "-o", f"s{number}").code == 0
    assert segkit("merge", "s1", "s2", "-o", "merged", "--quiet").code == 0
    assert levels_in(tmp_path / "merged") == 1
    assert {p for p in ours if "/parts/" not in p} == {
        path.relative_to(tmp_path / "merged").as_posix()
        for path in (tmp_path / "merged").rglob("*")
        if path.is_file() and "parts" not in path.parts and path.parent != tmp_path / "merged"
    }


def test_going_on_keeps_to_what_the_run_began_with(segkit, tmp_path, photos, monkeypatch):
    assert segkit("run", photos, *FLAGS, "-o", "out").code == 0
    monkeypatch.setattr(spreading, "MOST", 3)
    lost = tmp_path / "out/masks" / f"{results(tmp_path / 'out')[0]['name']}.png"
    lost.unlink()
    assert segkit("run", photos, *FLAGS, "-o", "out", "--resume").code == 0
    assert lost.is_file()
    assert not [*(tmp_path / "out/masks").glob("??/*.png")]
    # To begin again is to begin.
    assert segkit("run", photos, *FLAGS, "-o", "out", "--overwrite").code == 0
    assert len([*(tmp_path / "out/masks").glob("??/*.png")]) == 4
    assert not lost.exists()
    lost = next((tmp_path / "out/masks").glob("??/*.png"))
    lost.write_bytes(b"")
    monkeypatch.setattr(spreading, "MOST", 10_000)
    assert segkit("run", photos, *FLAGS, "-o", "out", "--resume").code == 0
    assert lost.stat().st_size
    assert not [*(tmp_path / "out/masks").glob("*.png")]
    # Files of an image that a crash has cut off are the run's too.
    lines = (tmp_path / "out/results.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "out/results.jsonl").write_text("".join(lines[:-1]))
    assert segkit("run", photos, *FLAGS, "-o", "out", "--overwrite").code == 0
    assert not [*(tmp_path / "out/masks").glob("??/*.png")]
