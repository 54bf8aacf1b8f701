"""Metrics of masks and labels against scikit-learn, torchmetrics and cases computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenes_by_hand import CLASSES, SCENE, VOID, heatmap, prompts, score, truth

from segkit import BadValueError, Labels, Masks, Prompt
from segkit_plugins.metric.accuracy import Accuracy
from segkit_plugins.metric.class_hit_rate import ClassHitRate
from segkit_plugins.metric.dice import Dice
from segkit_plugins.metric.distance import Distance
from segkit_plugins.metric.hit_rate import HitRate
from segkit_plugins.metric.iou import IoU
from segkit_plugins.metric.miou import MeanIoU
from segkit_plugins.metric.pointing_game import PointingGame

ALL = (Accuracy, ClassHitRate, Dice, Distance, HitRate, IoU, MeanIoU, PointingGame)


def labels(ids):
    return Labels(np.array(ids, np.int32), CLASSES)


def masks(*arrays):
    n = len(arrays)
    return Masks(np.array(arrays, bool), np.ones(n, np.float32), np.arange(n))


def random_case(seed, classes=4, size=(23, 31), void=0.1):
    """True and found ids that agree on about half of the pixels; some of the truth is void."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, size)
    found = np.where(rng.random(size) < 0.5, true, rng.integers(0, classes, size))
    true[rng.random(size) < void] = VOID
    return truth(true, {}), Labels(found.astype(np.int32), {})


# ---- against references -----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_iou_and_dice_equal_scikit_learn(seed):
    sklearn = pytest.importorskip("sklearn.metrics")
    true, found = random_case(seed)
    kept = true.labels.ids != VOID
    y_true, y_found = true.labels.ids[kept] > 0, found.ids[kept] > 0
    assert score(IoU(), IoU().count(true, found))["iou"] == pytest.approx(
        sklearn.jaccard_score(y_true, y_found)
    )
    assert score(Dice(), Dice().count(true, found))["dice"] == pytest.approx(
        sklearn.f1_score(y_true, y_found)
    )


def test_iou_is_the_mean_over_images():
    sklearn = pytest.importorskip("sklearn.metrics")
    cases = [random_case(seed, size=(5 + 3 * seed, 9)) for seed in range(6)]
    each = []
    for true, found in cases:
        kept = true.labels.ids != VOID
        each.append(sklearn.jaccard_score(true.labels.ids[kept] > 0, found.ids[kept] > 0))
    assert score(IoU(), *(IoU().count(*case) for case in cases))["iou"] == pytest.approx(
        np.mean(each)
    )


def test_accuracy_equals_scikit_learn_over_all_pixels():
    sklearn = pytest.importorskip("sklearn.metrics")
    cases = [random_case(seed, size=(5 + 3 * seed, 9)) for seed in range(6)]
    true = np.concatenate([t.labels.ids.ravel() for t, _ in cases])
    found = np.concatenate([f.ids.ravel() for _, f in cases])
    kept = true != VOID
    expected = sklearn.accuracy_score(true[kept], found[kept])
    figures = score(Accuracy(), *(Accuracy().count(*case) for case in cases))
    assert figures["accuracy"] == pytest.approx(expected)


@pytest.mark.parametrize("classes", [2, 4, 7])
def test_miou_equals_torchmetrics_per_image(classes):
    torch = pytest.importorskip("torch")
    classification = pytest.importorskip("torchmetrics.classification")
    cases = [random_case(seed, classes, size=(6, 7)) for seed in range(8)]
    expected = []
    for true, found in cases:
        index = classification.MulticlassJaccardIndex(classes, average="none", ignore_index=VOID)
        each = index(torch.tensor(found.ids), torch.tensor(true.labels.ids)).numpy()
        present = np.unique(true.labels.ids[true.labels.ids != VOID])
        expected.append(each[present].mean())
    figures = score(MeanIoU(), *(MeanIoU().count(*case) for case in cases))
    assert figures["miou"] == pytest.approx(np.mean(expected), abs=1e-6)


@pytest.mark.parametrize("metric", [IoU, Dice, Accuracy, MeanIoU])
@given(seed=st.integers(0, 2**32 - 1))
def test_void_pixels_change_nothing(metric, seed):
    true, found = random_case(seed, size=(6, 7), void=0.3)
    other = np.where(true.labels.ids == VOID, 3 - found.ids, found.ids)
    assert metric().count(true, found) == metric().count(true, Labels(other))


@given(seed=st.integers(0, 2**32 - 1))
def test_dice_follows_from_iou_and_both_lie_in_0_1(seed):
    true, found = random_case(seed, classes=2, size=(3, 3), void=0.3)
    iou, dice = IoU().count(true, found)["iou"], Dice().count(true, found)["dice"]
    assert 0 <= iou <= dice <= 1
    assert dice == pytest.approx(2 * iou / (1 + iou))


# ---- iou, dice --------------------------------------------------------------------------------


def test_iou_and_dice_by_hand():
    true = truth([[0, 1, 1, VOID], [0, 2, 0, VOID]])
    found = labels([[1, 1, 0, 1], [0, 1, 0, 0]])  # 2 in both, 3 found, 3 true; class ids differ
    assert IoU().count(true, found) == {"iou": 2 / 4, "images": 1}
    assert Dice().count(true, found) == {"dice": 4 / 6, "images": 1}


def test_masks_stand_in_for_labels():
    true = truth([[0, 1, 1, 2]])
    found = masks([[1, 1, 0, 0]], [[0, 1, 1, 0]])
    assert IoU().count(true, masks=found)["iou"] == 2 / 4
    assert Dice().count(true, masks=found)["dice"] == 4 / 6


def test_labels_go_before_masks():
    true = truth([[0, 1]])
    assert IoU().count(true, labels([[0, 1]]), masks([[1, 0]]))["iou"] == 1


@pytest.mark.parametrize(("metric", "key"), [(IoU, "iou"), (Dice, "dice")])
def test_empty_foregrounds(metric, key):
    nothing, something = labels([[0, 0]]), labels([[0, 1]])
    assert metric().count(truth([[0, 0]]), nothing)[key] == 1
    assert metric().count(truth([[0, VOID]]), something)[key] == 1  # found on void alone
    assert metric().count(truth([[0, 0]]), something)[key] == 0
    assert metric().count(truth([[0, 1]]), nothing)[key] == 0
    assert metric().count(truth([[0, 0]]), masks=Masks.none((1, 2)))[key] == 1
    assert metric().count(truth([[0, 1]]), masks=Masks.none((1, 2)))[key] == 0


@pytest.mark.parametrize("metric", [IoU, Dice, Accuracy, MeanIoU])
def test_an_image_that_is_all_void_is_left_out(metric):
    void = metric().count(truth([[VOID, VOID]]), labels([[0, 1]]))
    assert set(void.values()) == {0}
    assert score(metric(), void) == {}
    half = metric().count(truth([[0, 1]]), labels([[1, 1]]))
    assert score(metric(), void, half) == score(metric(), half) != {}


@pytest.mark.parametrize("metric", [IoU, Dice])
def test_neither_labels_nor_masks(metric):
    with pytest.raises(BadValueError) as info:
        metric().count(truth([[0]]))
    assert str(info.value) == (
        f"{metric.name} needs 'labels' or 'masks', and nothing before it makes one; add --segmenter"
    )


@pytest.mark.parametrize("metric", [IoU, Dice, Accuracy, MeanIoU])
def test_a_truth_of_another_size(metric):
    with pytest.raises(BadValueError) as info:
        metric().count(truth([[0, 1]]), labels([[0], [1]]))
    assert str(info.value) == (
        f"{metric.name} compares pixels of one size, but the result is (2, 1) and the truth "
        "(1, 2); the data set should give truth of its image's size"
    )


# ---- accuracy, miou ---------------------------------------------------------------------------


def test_accuracy_by_hand():
    counts = Accuracy().count(truth([[0, 1, 2, VOID]]), labels([[0, 1, 1, 1]]))
    assert counts == {"accuracy": 2, "pixels": 3}
    assert Accuracy().score(counts) == {"accuracy": 2 / 3}


def test_miou_by_hand():
    true = truth([[0, 0, 1, 1, VOID]])
    found = labels([[0, 1, 1, 2, 2]])
    # background: 1 of 2; cat: 1 of 3 (found twice, once wrongly); dog is not in the truth
    assert MeanIoU().count(true, found) == {"miou": pytest.approx((1 / 2 + 1 / 3) / 2), "images": 1}


def test_miou_of_ids_above_those_in_the_truth():
    assert MeanIoU().count(truth([[0, 1]]), labels([[254, 70000]]))["miou"] == 0


def test_miou_of_background_alone():
    assert MeanIoU().count(truth([[0, 0]]), labels([[0, 0]]))["miou"] == 1


# ---- all of them ------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ALL)
def test_the_contract_of_a_metric(metric):
    assert metric.inputs().all
    assert metric.output() == dict[str, float]
    assert metric().score({}) == {}


@pytest.mark.parametrize("metric", ALL)
def test_counts_are_finite_numbers(metric):
    values = {
        "truth": truth(SCENE),
        "labels": labels(np.array(SCENE) % 3),
        "prompts": prompts(Prompt(points=[[1, 1]])),
        "heatmaps": (heatmap((1, 1)),),
        "classes": CLASSES,
    }
    counts = metric().count(**{k: v for k, v in values.items() if k in metric.inputs().all})
    assert all(math.isfinite(v) for v in counts.values())
    assert all(0 <= v <= 1 or k == "distance" for k, v in metric().score(counts).items())
