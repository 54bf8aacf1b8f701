"""What a pipeline made of a picture: its figures, its files, what other libraries want of it."""

from __future__ import annotations

import json
import re
import sys

import numpy as np
import pytest
from shapes_toys import shapes

import segkit
from segkit import (
    Image,
    Labels,
    Masks,
    MissingExtraError,
    Pipeline,
    Result,
    UsageError,
    read_mask,
)


@pytest.fixture(scope="module")
def pipeline():
    own = {"gradcam.model": "shapes"}
    with Pipeline(saliency="gradcam", segmenter="threshold", options=own) as made:
        yield made


@pytest.fixture(scope="module")
def result(pipeline):
    return next(pipeline.each(shapes(1)))


def test_scores_are_those_of_a_run(tmp_path, pipeline):
    pipeline.run(shapes(2), tmp_path / "out")
    lines = [json.loads(text) for text in (tmp_path / "out/results.jsonl").read_text().splitlines()]
    results = list(pipeline.each(shapes(2)))
    assert [r.scores for r in results] == [line["scores"] for line in lines]
    assert len(results[0].scores) > 10
    assert pipeline(shapes()[0][0]).scores == {}
    one = segkit.step("iou")(shapes(2)[0][1], results[0])
    assert one["iou"] == lines[0]["scores"]["iou"]


def test_saved_files_are_those_of_a_run(tmp_path, pipeline, result):
    pipeline.run(shapes(1), tmp_path / "run")
    saved = result.save(tmp_path / "kept/here")
    names = [path.relative_to(tmp_path / "kept/here").as_posix() for path in saved]
    assert names == ["masks/shapes-00000.png", "overlay/shapes-00000.jpg"]
    assert np.array_equal(read_mask(saved[0]), read_mask(tmp_path / "run" / names[0]))
    assert saved[1].read_bytes() == (tmp_path / "run" / names[1]).read_bytes() == result.picture()
    assert sorted(p.name for p in (tmp_path / "kept/here").iterdir()) == ["masks", "overlay"]


def test_nothing_is_written_over_unasked(tmp_path, result):
    masks, overlay = result.save(tmp_path)
    masks.write_text("mine")
    overlay.unlink()
    with pytest.raises(UsageError, match="is there already; choose another folder, give the"):
        result.save(tmp_path)
    assert (masks.read_text(), overlay.exists()) == ("mine", False)
    assert result.save(tmp_path, overwrite=True) == (masks, overlay)
    assert read_mask(masks).shape == (96, 96)


def test_other_writers_can_be_asked_for(tmp_path, result):
    (file, *_) = result.save(tmp_path, write="labelme")
    assert json.loads(file.read_text())["imageHeight"] == 96
    step = segkit.step("overlay", height=64)
    (picture,) = result.save(tmp_path, write=[step])
    assert picture.name == "shapes-00000.jpg"


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        ("coco", "coco makes a file of all images, and a result is one of them; use Pipeline.run"),
        ("maskss", "--write maskss: no writer plugin has that name; did you mean 'masks'?"),
        (3, "write should name writers, or be some, but has 3"),
    ],
)
def test_what_cannot_be_saved_is_a_sentence(tmp_path, result, write, sentence):
    with pytest.raises(UsageError, match=re.escape(sentence)):
        result.save(tmp_path / "out", write=write)
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"file' cannot be written: .*; choose another folder"):
        result.save(tmp_path / "file")


def test_without_a_class_map_there_is_no_mask_file(tmp_path):
    image = Image(np.zeros((4, 6, 3), np.uint8), "a")
    bare = Result(image, masks=Masks(np.ones((1, 4, 6), bool), [1], [0]))
    assert [path.parent.name for path in bare.save(tmp_path)] == ["overlay"]
    with pytest.raises(UsageError, match="masks needs 'labels', which the result has not"):
        bare.save(tmp_path, write="masks")
    assert repr(bare) == "Result('a', 6x4: Masks(1 of 6x4: nameless 1.00))"


def test_supervision_gets_all_of_it():
    supervision = pytest.importorskip("supervision", reason="the extra notebook")
    masks = np.zeros((2, 4, 6), bool)
    masks[0, :2, :3] = masks[1, 3] = True
    result = Result(
        Image(np.zeros((4, 6, 3), np.uint8), "a"),
        masks=Masks(masks, [0.5, 0.25], [0, 1], ("dog", "fox"), quality=[0.75, 0.5]),
        classes={3: "cat", 7: "dog"},
    )
    detections = result.to_supervision()
    assert isinstance(detections, supervision.Detections)
    assert np.array_equal(detections.mask, masks)
    assert detections.xyxy.tolist() == [[0, 0, 2, 1], [0, 3, 5, 3]]
    assert detections.confidence.tolist() == [0.5, 0.25]
    assert detections.class_id.tolist() == [7, 8]
    assert detections.data["class_name"].tolist() == ["dog", "fox"]
    assert detections.data["quality"].tolist() == [0.75, 0.5]
    ids = np.array([[0, 7], [7, 255]])
    labels = Result(Image(np.zeros((2, 2, 3), np.uint8), "b"), labels=Labels(ids, {7: "dog"}))
    assert labels.to_supervision().mask.tolist() == [[[False, True], [True, False]]]


def test_without_supervision_a_sentence_says_what_to_install(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(MissingExtraError) as error:
        result.to_supervision()
    assert str(error.value) == (
        "Result.to_supervision needs supervision, which is not installed; run: "
        "pip install 'segkit[notebook]'"
    )
