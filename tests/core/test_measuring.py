"""A metric called on truth and prediction gives what a run gives."""

from __future__ import annotations

import re

import numpy as np
import pytest

import segkit
from segkit import (
    BadValueError,
    Heatmap,
    Image,
    Labels,
    Masks,
    Metric,
    Prompt,
    SegkitError,
    Truth,
    UsageError,
)

TRUE = np.zeros((10, 12), np.int32)
TRUE[2:6, 2:6] = 1
WIDER = np.zeros((10, 12), bool)
WIDER[2:6, 2:8] = True


def metric(name):
    return segkit.step(name, kind="metric")


@pytest.mark.parametrize("truth", [TRUE, TRUE == 1, Labels(TRUE), Truth(Labels(TRUE))])
@pytest.mark.parametrize(
    "prediction",
    [
        WIDER,
        WIDER.astype(np.uint8) * 7,
        Labels(WIDER.astype(int)),
        Masks(WIDER[None], [1], [0]),
        Masks(WIDER[None], [1], [0])[0],
        WIDER[None],
    ],
    ids=lambda value: type(value).__name__,
)
def test_arrays_and_values_of_every_sort(truth, prediction):
    assert metric("iou")(truth, prediction) == {"iou": pytest.approx(2 / 3)}


def test_several_images_are_scored_together():
    assert metric("iou")([TRUE, TRUE], [WIDER, TRUE]) == {"iou": pytest.approx(5 / 6)}
    assert metric("iou")([], []) == {}
    assert metric("iou")(np.full((3, 3), 255), np.ones((3, 3), bool)) == {}


def test_heatmaps_and_prompts_are_predictions_too():
    assert metric("pointing-game")(TRUE, Heatmap(TRUE.astype(np.float32))) == {"pointing-game": 1}
    assert metric("hit-rate")(TRUE, Prompt([(3, 3), (9, 9)])) == {"hit-rate": 0.5}


def test_classes_are_compared_by_name():
    """Ids of a pipeline that did not know the data set are its own."""
    truth = Truth(Labels(TRUE * 4, {4: "cat", 5: "dog"}))
    cat, dog = (Labels(WIDER.astype(int), {1: name}) for name in ("cat", "dog"))
    assert metric("class-iou")(truth, cat) == {"class-iou": pytest.approx(2 / 3)}
    assert metric("class-iou")(truth, dog) == {"class-iou": 0}


class Bright(Metric):
    """Asks for the image, and fails on a black one."""

    name = "bright"

    def count(self, image: Image, truth: Truth) -> dict[str, float]:
        return {"bright": 1 / float(image.pixels.max())}

    def score(self, counts: dict[str, float]) -> dict[str, float]:
        return dict(counts)


def test_a_metric_that_asks_for_the_image():
    image = Image(np.full((10, 12, 3), 4, np.uint8), "a")
    assert Bright()(TRUE, WIDER, image=image) == {"bright": 0.25}
    with pytest.raises(UsageError, match=r"^bright needs 'image', which the prediction has not"):
        Bright()(TRUE, WIDER)
    with pytest.raises(UsageError, match="there are several images; leave out image"):
        Bright()([TRUE, TRUE], [WIDER, WIDER], image=image)
    black = Image(np.zeros((10, 12, 3), np.uint8), "a")
    with np.errstate(all="ignore"), pytest.raises(SegkitError, match=r"^metric 'bright' "):
        Bright()(TRUE, WIDER, image=black)


@pytest.mark.parametrize(
    ("truth", "prediction", "kind", "sentence"),
    [
        (TRUE, WIDER[1:], BadValueError, "iou compares pixels of one size, but the result is"),
        (
            TRUE,
            WIDER.astype(float),
            BadValueError,
            "the prediction should be class ids or bool of shape (H, W), but is float64 of shape",
        ),
        ("a.png", WIDER, BadValueError, "the truth should be class ids or bool of shape (H, W)"),
        (
            [TRUE],
            WIDER,
            UsageError,
            "iou was given a list of 1 truth, but of predictions one that is in no list; give one "
            "for each image",
        ),
        ([TRUE] * 2, [WIDER], UsageError, "a list of 2 truths, but of predictions a list of 1;"),
    ],
)
def test_what_cannot_be_compared_is_a_sentence(truth, prediction, kind, sentence):
    with pytest.raises(kind, match=re.escape(sentence)):
        metric("iou")(truth, prediction)
