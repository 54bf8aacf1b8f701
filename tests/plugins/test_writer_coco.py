"""The writer `coco`, read back by pycocotools."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from writer_toys import SIZE, blobs, content, labels, masks_of, picture, whole_and_cut

from segkit import Masks
from segkit_plugins.writer.coco import Coco

pycocotools = pytest.importorskip("pycocotools", reason="the extra coco reads what it writes")
CLASSES = {1: "cat", 2: "dog", 7: "bird"}


def read(folder):
    from pycocotools.coco import COCO

    return COCO(str(folder / "coco/annotations.json"))


def written(folder, **options):
    Coco(**options).finish(folder, [p.stem for p in folder.glob("coco/parts/*.json")])
    return read(folder)


def decoded(coco, name):
    """The annotations of an image, and their masks (n, H, W)."""
    (image,) = (i for i in coco.dataset["images"] if i["file_name"].startswith(f"{name}."))
    found = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
    masks = [coco.annToMask(one).astype(bool) for one in found]
    return found, np.array(masks).reshape(-1, image["height"], image["width"])


def test_masks_come_back_equal(tmp_path):
    first, second = blobs(20), blobs(10, (90, 70), seed=1)
    names = [("cat", "dog", "bird", "fox", None)[i % 5] for i in range(20)]
    made = masks_of(first, names)
    Coco().write(tmp_path, picture(name="b"), masks=made, classes=CLASSES)
    Coco().write(tmp_path, picture((90, 70), "a"), masks=masks_of(second), classes=CLASSES)
    coco = written(tmp_path)
    assert [(i["id"], i["file_name"]) for i in coco.dataset["images"]] == [
        (1, "a.jpg"),
        (2, "b.jpg"),
    ]
    found, masks = decoded(coco, "b")
    assert np.array_equal(masks, first)
    assert np.array_equal(decoded(coco, "a")[1], second)
    categories = {c["id"]: c["name"] for c in coco.dataset["categories"]}
    assert categories == {**CLASSES, 8: "fox", 9: "object"}
    assert [categories[one["category_id"]] for one in found] == [n or "object" for n in names]
    assert [one["score"] for one in found] == pytest.approx(made.scores.tolist(), abs=1e-6)
    ids = [one["id"] for one in coco.dataset["annotations"]]
    assert ids == list(range(1, 31))
    for one, mask in zip(found, first, strict=True):
        rows, columns = np.nonzero(mask)
        assert one["area"] == mask.sum()
        assert one["bbox"] == [
            columns.min(),
            rows.min(),
            np.ptp(columns) + 1,
            np.ptp(rows) + 1,
        ]


def test_pycocotools_scores_them_as_results(tmp_path):
    """The annotations are results too: against themselves they are perfect."""
    from pycocotools.cocoeval import COCOeval

    apart = [np.zeros(SIZE, bool) for _ in range(3)]
    for i, mask in enumerate(apart):
        mask[10 + 50 * i : 50 + 50 * i, 20:200] = True
    Coco().write(tmp_path, picture(), masks=masks_of(apart, ["cat"] * 3), classes=CLASSES)
    coco = written(tmp_path)
    scored = COCOeval(coco, coco.loadRes(coco.dataset["annotations"]), "segm")
    scored.evaluate()
    scored.accumulate()
    scored.summarize()
    assert scored.stats[0] == pytest.approx(1)


def test_supervision_reads_them_with_the_photos(tmp_path):
    supervision = pytest.importorskip("supervision", reason="an independent reader of COCO files")
    Coco().write(tmp_path, picture(), masks=masks_of(blobs(6), ["cat"] * 6), classes=CLASSES)
    Coco().finish(tmp_path, ["a"])
    data = supervision.DetectionDataset.from_coco(
        str(tmp_path / "coco/images"), str(tmp_path / "coco/annotations.json"), force_masks=True
    )
    ((_, pixels, detections),) = data
    assert pixels.shape == (*SIZE, 3)
    assert np.array_equal(detections.mask, blobs(6))
    assert {data.classes[i] for i in detections.class_id} == {"cat"}


def test_a_class_map_has_an_annotation_for_each_class(tmp_path):
    ids = np.zeros(SIZE, int)
    ids[10:60, 10:60] = ids[100:120, 100:150] = 2
    ids[60:90, 10:60] = 30
    ids[5] = 255
    Coco().write(tmp_path, picture(), labels=labels(ids, {2: "dog"}), classes=CLASSES)
    found, masks = decoded(written(tmp_path), "a")
    assert [(one["category_id"], one["score"]) for one in found] == [(2, 1), (30, 1)]
    assert np.array_equal(masks, np.array([ids == 2, ids == 30]))
    assert read(tmp_path).loadCats([30])[0]["name"] == "class 30"


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
def test_the_smallest_images(tmp_path, size):
    Coco().write(tmp_path, picture(size), masks=masks_of(np.ones((1, *size))))
    found, masks = decoded(written(tmp_path), "a")
    assert masks.all()
    assert found[0]["bbox"] == [0, 0, size[1], size[0]]


def test_nothing_found_leaves_the_image_and_the_classes(tmp_path):
    Coco().write(tmp_path, picture(), masks=Masks.none(SIZE), classes=CLASSES)
    Coco().write(tmp_path, picture(name="b"), masks=masks_of(np.zeros((1, *SIZE))), classes=CLASSES)
    coco = written(tmp_path)
    assert coco.dataset["annotations"] == []
    assert len(coco.dataset["images"]) == 2
    assert len(coco.dataset["categories"]) == 3


def test_a_run_without_an_image(tmp_path):
    coco = written(tmp_path)
    assert [coco.dataset[k] for k in ("images", "categories", "annotations")] == [[], [], []]


def test_names_that_no_utf_8_can_say(tmp_path):
    name = "caf\udce9 \u2603"
    Coco().write(tmp_path, picture(name=name), masks=masks_of(blobs(1), ["caf\u00e9"]))
    coco = written(tmp_path)
    assert coco.dataset["images"][0]["file_name"] == f"{name}.jpg"
    assert coco.dataset["categories"][0]["name"] == "caf\u00e9"


def test_a_run_that_was_cut_off_has_all_in_the_end(tmp_path):
    whole, cut = whole_and_cut(tmp_path, "coco", images="none")
    assert content(whole) == content(cut)
    made = json.loads((whole / "annotations.json").read_text())
    assert len(made["images"]) == 3
    assert len(made["annotations"]) > 3


def test_quality_stands_beside_the_score(tmp_path):
    judged = replace(masks_of(blobs(2), ["cat", "dog"]), quality=[0.25, 0.75])
    Coco().write(tmp_path, picture(name="a"), masks=judged)
    found, _ = decoded(written(tmp_path), "a")
    assert [(one["score"], one["quality"]) for one in found] == [(0.5, 0.25), (1.0, 0.75)]
