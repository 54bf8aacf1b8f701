"""The writer `supervision`, read back as a `Detections`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from writer_toys import SIZE, blobs, content, labels, masks_of, picture, whole_and_cut

from segkit import Masks
from segkit_plugins.writer.supervision import Supervision

sv = pytest.importorskip("supervision", reason="it reads what the writer writes")
CLASSES = {1: "cat", 2: "dog", 7: "bird"}


def read(path):
    """As the docstring says."""
    fields = dict(np.load(path))
    data = {name: fields.pop(name) for name in ("class_name", "quality") if name in fields}
    return sv.Detections(**fields, data=data)


def written(folder, image=None, **values):
    path, *_ = Supervision().write(folder, image or picture(), **values)
    return read(path)


def test_all_comes_back_equal(tmp_path):
    arrays = blobs(24)
    names = [("cat", "dog", "bird", "fox")[i % 4] for i in range(24)]
    made = masks_of(arrays, names)
    found = written(tmp_path, masks=made, classes=CLASSES)
    assert np.array_equal(found.mask, arrays)
    assert np.array_equal(found.xyxy, sv.mask_to_xyxy(arrays))
    assert found.confidence == pytest.approx(made.scores, abs=1e-6)
    assert found["class_name"].tolist() == names
    assert found.class_id.tolist() == [(1, 2, 7, 8)[i % 4] for i in range(24)]


def test_quality_is_there_where_a_judge_took_part(tmp_path):
    judged = replace(masks_of(blobs(3)), quality=[0.25, 0.5, 0.75])
    assert written(tmp_path, masks=judged)["quality"].tolist() == [0.25, 0.5, 0.75]
    assert len(written(tmp_path, masks=judged.take([]))["quality"]) == 0
    assert "quality" not in written(tmp_path, masks=masks_of(blobs(3))).data


def test_it_is_worked_on_as_any_other(tmp_path):
    found = written(tmp_path, masks=masks_of(blobs(24), ["cat"] * 24), classes=CLASSES)
    sure = found[found.confidence > 0.9]
    assert 0 < len(sure) < 24
    assert sure.mask.shape == (len(sure), *SIZE)
    assert np.array_equal(found.area, blobs(24).sum((1, 2)))
    assert len(found.with_nms(0.1)) < 24
    merged = sv.Detections.merge([found, written(tmp_path, masks=Masks.none(SIZE))])
    assert len(merged) == 24
    scene = np.zeros((*SIZE, 3), np.uint8)
    drawn = sv.MaskAnnotator().annotate(scene, found)
    assert np.array_equal(drawn.any(-1), blobs(24).any(0))


def test_class_ids_are_the_same_in_all_images(tmp_path):
    ids = [
        written(tmp_path, picture(name=image), masks=masks_of(blobs(1), [name])).class_id[0]
        for image, name in (("a", "fox"), ("b", "owl"), ("c", "fox"))
    ]
    assert ids == [1, 2, 1]


def test_a_class_map_is_an_object_for_each_class(tmp_path):
    ids = np.zeros(SIZE, int)
    ids[10:60, 10:60], ids[100:150], ids[5] = 2, 40, 255
    found = written(tmp_path, labels=labels(ids, {2: "dog"}), classes=CLASSES)
    assert found["class_name"].tolist() == ["dog", "class 40"]
    assert found.class_id.tolist() == [2, 40]
    assert found.confidence.tolist() == [1, 1]
    assert np.array_equal(found.mask, [ids == 2, ids == 40])


def test_nothing_found_and_one_pixel(tmp_path):
    none = written(tmp_path, masks=masks_of(np.zeros((2, *SIZE))))
    assert len(none) == 0
    assert none.mask.shape == (0, *SIZE)
    assert none.is_empty()
    dot = written(tmp_path, picture((1, 1)), masks=masks_of(np.ones((1, 1, 1)), ["caf\u00e9"]))
    assert dot.xyxy.tolist() == [[0, 0, 0, 0]]
    assert dot["class_name"].tolist() == ["caf\u00e9"]


def test_a_run_that_was_cut_off_has_all_in_the_end(tmp_path):
    whole, cut = whole_and_cut(tmp_path, "supervision")
    assert content(whole) == content(cut)
    found = [read(path) for path in sorted(whole.glob("*.npz"))]
    assert len(found) == 3
    assert {name for one in found for name in one["class_name"]} <= {
        *("circle", "square", "diamond", "triangle", "star")
    }
