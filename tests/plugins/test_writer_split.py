"""Exports divided into train and val, read back by the formats' own readers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from writer_toys import blobs, masks_of, picture

from segkit import UsageError
from segkit_plugins.writer._split import divided
from segkit_plugins.writer.coco import Coco
from segkit_plugins.writer.voc import Voc
from segkit_plugins.writer.yolo import Yolo

NAMES = [f"photo {i}" for i in range(10)]


def exported(writer, folder, names=NAMES):
    for i, name in enumerate(names):
        made = masks_of(blobs(2, (40, 50), seed=i), ["cat", "dog"])
        writer.write(folder, picture((40, 50), name), masks=made)
    writer.finish(folder, names)
    return folder


def test_sides_are_exact_whatever_the_order():
    sides = divided(NAMES, 0.8)
    assert {side: len(some) for side, some in sides.items()} == {"train": 8, "val": 2}
    assert sorted(sides["train"] + sides["val"]) == NAMES
    assert divided(reversed(NAMES), 0.8) == sides
    assert divided(["caf\udce9"], 0.8) == {"train": ["caf\udce9"], "val": []}
    assert [len(some) for some in divided(NAMES[:2], 0.99).values()] == [1, 1]
    assert [len(some) for some in divided(NAMES[:2], 0.01).values()] == [1, 1]


def test_few_images_change_sides_when_others_are_added():
    before = {*divided(map(str, range(1000)), 0.8)["train"]}
    after = {*divided(map(str, range(1100)), 0.8)["train"]}
    assert len(before - after) <= 25


def test_the_sides_are_drawn_at_random():
    """Neighbours, as a camera numbers them, are as often in val as anywhere."""
    val = np.array(sorted(int(name) for name in divided(map(str, range(1000)), 0.8)["val"]))
    counts = np.histogram(val, 10, (0, 1000))[0]
    assert (counts > 8).all()
    assert (counts < 35).all()


def test_yolo_lists_the_photos_of_each_side(tmp_path):
    yaml = pytest.importorskip("yaml", reason="an independent reader of data.yaml")
    folder = exported(Yolo(train_share=0.8), tmp_path) / "yolo"
    read = yaml.safe_load((folder / "data.yaml").read_text())
    assert (read["train"], read["val"]) == ("train.txt", "val.txt")
    sides = divided(NAMES, 0.8)
    for side, names in sides.items():
        lines = (folder / read[side]).read_text().splitlines()
        assert lines == [f"./images/{name}.jpg" for name in names]
        assert all((folder / line).is_file() for line in lines)
    assert list(read["names"].values()) == ["cat", "dog"]
    Yolo(train_share=0.8, images="png").finish(tmp_path, NAMES)
    assert (folder / "val.txt").read_text().endswith(".png\n")


def test_ultralytics_finds_photos_and_labels_of_each_side(tmp_path, monkeypatch):
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path / "settings"))
    monkeypatch.setenv("YOLO_OFFLINE", "true")
    data = pytest.importorskip("ultralytics.data", reason="needs the extra peers")
    from ultralytics.data.utils import check_det_dataset

    folder = exported(Yolo(train_share=0.8), tmp_path / "out") / "yolo"
    known = check_det_dataset(str(folder / "data.yaml"), autodownload=False)
    for side, names in divided(NAMES, 0.8).items():
        found = data.YOLODataset(known[side], data=known, task="segment", augment=False)
        assert sorted(label["im_file"].rpartition("/")[2] for label in found.labels) == [
            f"{name}.jpg" for name in names
        ]
        assert {len(label["segments"]) for label in found.labels} == {2}


def test_pycocotools_reads_both_sides_under_the_same_ids(tmp_path):
    coco = pytest.importorskip("pycocotools.coco", reason="the format's own reader")
    folder = exported(Coco(train_share=0.8, images="none"), tmp_path) / "coco"
    whole = json.loads((folder / "annotations.json").read_text())
    ids = {image["file_name"]: image["id"] for image in whole["images"]}
    annotations = 0
    for side, names in divided(NAMES, 0.8).items():
        read = coco.COCO(folder / f"annotations_{side}.json")
        assert {i["file_name"]: i["id"] for i in read.dataset["images"]} == {
            f"{name}.jpg": ids[f"{name}.jpg"] for name in names
        }
        assert read.dataset["categories"] == whole["categories"]
        assert {one["image_id"] for one in read.anns.values()} == {*read.imgs}
        annotations += len(read.anns)
    assert annotations == len(whole["annotations"]) == 20


def test_torchvision_reads_both_sides(tmp_path):
    from torchvision.datasets import VOCSegmentation

    exported(Voc(train_share=0.8), tmp_path)
    for side, count in (("train", 8), ("val", 2), ("trainval", 10)):
        assert len(VOCSegmentation(tmp_path / "voc", image_set=side)) == count


@pytest.mark.parametrize("share", [0, 1, -0.5, 1.5, float("nan")])
def test_a_share_is_between_0_and_1(share):
    with pytest.raises(UsageError, match=r"--yolo\.train-share"):
        Yolo(train_share=share)
