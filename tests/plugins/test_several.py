"""Data sets of photos with several objects: instances made of class maps and boxes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image as Picture

from segkit import Catalog, write_png

several = pytest.importorskip("segkit_training.several")


def test_a_pixel_is_the_object_s_whose_box_holds_it():
    ids = np.zeros((4, 10), np.uint8)
    ids[:, 1:8] = 3
    ids[:, 9] = 5
    boxes = [[1, 0, 4, 3, 3], [4, 0, 6, 3, 3], [9, 0, 9, 3, 5], [0, 0, 9, 3, 7]]
    row = several.instances_of(ids, boxes)[0].tolist()
    assert row == [0, 1, 1, 1, 255, 2, 2, 255, 0, 3]  # two boxes at 4, none at 7


def test_voc_photos_of_two_objects_become_a_data_set(tmp_path):
    root, out = tmp_path / "VOC2012", tmp_path / "out"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for name in ("one", "two"):
        Picture.new("RGB", (10, 4), "green").save(root / "JPEGImages" / f"{name}.jpg")
        write_png(root / "SegmentationClass" / f"{name}.png", np.full((4, 10), 3, np.uint8))
    (root / "ImageSets/Segmentation/val.txt").write_text("one\ntwo\n")
    boxes = {"one": [[0, 0, 9, 3, 3]], "two": [[0, 0, 4, 3, 3], [5, 0, 9, 3, 3]]}
    (root / "boxes.json").write_text(json.dumps(boxes))
    assert several.voc(root, "val", out) == 1
    dataset = Catalog(third_party=False).load("dataset", "voc")(root=out, split="val")
    assert list(dataset.names) == ["two"]
    _, truth = dataset[0]
    assert truth.instances[0].tolist() == [1] * 5 + [2] * 5


def test_coco_photos_with_all_classes_become_one_file(tmp_path):
    folders = []
    for name in ("a", "b"):
        folder = tmp_path / name
        (folder / "images").mkdir(parents=True)
        for file in (f"{name}1.jpg", f"{name}2.jpg"):
            (folder / "images" / file).touch()
        images = [
            {"id": 7, "file_name": f"{name}1.jpg"},
            {"id": 8, "file_name": f"{name}2.jpg", "annotated": ["person"]},
        ]
        annotations = [{"id": 1, "image_id": 7}, {"id": 2, "image_id": 8}]
        content = {"images": images, "annotations": annotations, "categories": [{"id": 1}]}
        (folder / "instances.json").write_text(json.dumps(content))
        folders.append(folder)
    assert several.coco(folders, lambda name: True, tmp_path / "out") == 2
    content = json.loads((tmp_path / "out" / "instances.json").read_text())
    assert [(i["id"], i["file_name"]) for i in content["images"]] == [(1, "a1.jpg"), (2, "b1.jpg")]
    assert [(a["id"], a["image_id"]) for a in content["annotations"]] == [(1, 1), (2, 2)]
    assert (tmp_path / "out" / "images" / "a1.jpg").exists()
    assert several.coco(folders, lambda name: name == "b1.jpg", tmp_path / "other") == 1
