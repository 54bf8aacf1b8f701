"""The metrics that look at each class, against scikit-learn, torchmetrics and by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segkit import BadValueError, Labels, Truth
from segkit_plugins.metric.class_accuracy import ClassAccuracy
from segkit_plugins.metric.class_dice import ClassDice
from segkit_plugins.metric.class_iou import ClassIoU
from segkit_plugins.metric.mean_class_dice import MeanClassDice
from segkit_plugins.metric.voc_miou import VocMeanIoU

ALL = (ClassAccuracy, ClassDice, ClassIoU, MeanClassDice, VocMeanIoU)
VOID = 255
CLASSES = {1: "cat", 2: "dog", 3: "cow"}


def truth(ids):
    return Truth(Labels(np.array(ids, np.int32), CLASSES))


def labels(ids):
    return Labels(np.array(ids, np.int32), CLASSES)


def added(*counted):
    """Several images' counts, added as a run adds them."""
    total: dict[str, float] = {}
    for counts in counted:
        for key, value in counts.items():
            total[key] = total.get(key, 0) + value
    return total


def score(metric, *cases):
    (value,) = metric.score(added(*(metric.count(*case) for case in cases))).values()
    return value


def random_case(seed, classes=4, size=(23, 31), void=0.1):
    """True and found ids that agree on about half of the pixels; some of the truth is void."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, size)
    found = np.where(rng.random(size) < 0.5, true, rng.integers(0, classes, size))
    true[rng.random(size) < void] = VOID
    return truth(true), labels(found)


def flat(*cases):
    """True and found ids of all pixels that are not void."""
    true = np.concatenate([t.labels.ids.ravel() for t, _ in cases])
    found = np.concatenate([f.ids.ravel() for _, f in cases])
    return true[true != VOID], found[true != VOID]


# ---- class-iou, class-dice --------------------------------------------------------------------


def test_by_hand():
    true = truth([[0, 0, 1, 1], [2, 2, VOID, 1]])
    found = labels([[0, 3, 1, 2], [2, 0, 1, 1]])
    # Right: two cats, a dog. True: five pixels. Found: five outside of void. In both: four.
    assert score(ClassIoU(), (true, found)) == 3 / 6
    assert score(ClassDice(), (true, found)) == 2 * 3 / (5 + 5)


@pytest.mark.parametrize("classes", [2, 4, 7])
def test_class_dice_is_the_micro_f1_without_background(classes):
    sklearn = pytest.importorskip("sklearn.metrics")
    cases = [random_case(seed, classes, (5 + 3 * seed, 9)) for seed in range(6)]
    expected = [
        sklearn.f1_score(*flat(case), labels=range(1, classes), average="micro") for case in cases
    ]
    assert score(ClassDice(), *cases) == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("classes", [2, 4, 7])
def test_class_iou_is_the_foreground_s_iou_times_its_accuracy(classes):
    sklearn = pytest.importorskip("sklearn.metrics")
    cases = [random_case(seed, classes, (5 + 3 * seed, 9)) for seed in range(6)]
    expected = []
    for case in cases:
        true, found = flat(case)
        both = (true > 0) & (found > 0)
        expected.append(
            sklearn.jaccard_score(true > 0, found > 0)
            * sklearn.accuracy_score(true[both], found[both])
        )
    assert score(ClassIoU(), *cases) == pytest.approx(np.mean(expected))


def test_class_dice_equals_torchmetrics():
    torch = pytest.importorskip("torch")
    classification = pytest.importorskip("torchmetrics.classification")
    cases = [random_case(seed, size=(6, 7)) for seed in range(5)]
    expected = []
    for case in cases:
        # With background left out of both, what remains is one label a pixel or none.
        true, found = (
            torch.tensor(np.eye(4, dtype=int)[values][:, 1:].ravel()) for values in flat(case)
        )
        expected.append(classification.BinaryF1Score()(found, true).item())
    assert score(ClassDice(), *cases) == pytest.approx(np.mean(expected), abs=1e-6)


@pytest.mark.parametrize("metric", [ClassIoU(), ClassDice()])
def test_edge_cases(metric):
    assert score(metric, (truth([[0]]), labels([[0]]))) == 1
    assert score(metric, (truth([[0]]), labels([[1]]))) == 0
    assert score(metric, (truth([[1]]), labels([[0]]))) == 0
    assert score(metric, (truth([[1]]), labels([[2]]))) == 0
    assert score(metric, (truth([[1, VOID]]), labels([[1, 2]]))) == 1
    nothing = metric.count(truth([[VOID]]), labels([[1]]))
    assert metric.score(nothing) == {}
    assert metric.score(added(nothing, metric.count(truth([[1]]), labels([[1]])))) == {
        metric.name: 1
    }


# ---- voc-miou ---------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 4, 21])
def test_voc_miou_equals_torchmetrics_over_the_set(classes):
    torch = pytest.importorskip("torch")
    classification = pytest.importorskip("torchmetrics.classification")
    cases = [random_case(seed, classes, (5 + 3 * seed, 9)) for seed in range(6)]
    index = classification.MulticlassJaccardIndex(classes, average="macro", ignore_index=VOID)
    for true, found in cases:
        index.update(torch.tensor(found.ids[None]), torch.tensor(true.labels.ids[None]))
    assert score(VocMeanIoU(), *cases) == pytest.approx(index.compute().item(), abs=1e-6)


def test_the_table_and_the_matrix_equal_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics")
    cases = [random_case(seed, size=(5 + 3 * seed, 9)) for seed in range(6)]
    true, found = flat(*cases)
    counts = added(*(VocMeanIoU().count(*case, CLASSES) for case in cases))
    details = VocMeanIoU().details(counts, CLASSES)
    rows = details["classes"]
    assert [(r["id"], r["name"]) for r in rows] == [
        *((0, "background"), (1, "cat"), (2, "dog"), (3, "cow"))
    ]
    ious, dices = (f(true, found, average=None) for f in (sklearn.jaccard_score, sklearn.f1_score))
    np.testing.assert_allclose([r["iou"] for r in rows], ious)
    np.testing.assert_allclose([r["dice"] for r in rows], dices)
    assert [r["pixels"] for r in rows] == np.bincount(true).tolist()
    assert [r["found"] for r in rows] == np.bincount(found).tolist()
    assert details["confusion"]["names"] == ["background", "cat", "dog", "cow"]
    assert details["confusion"]["pixels"] == sklearn.confusion_matrix(true, found).tolist()
    assert json.loads(json.dumps(details)) == details
    assert score(VocMeanIoU(), *cases) == pytest.approx(np.mean(ious))


def test_voc_miou_by_hand_pools_pixels_of_all_images():
    one = truth([[0, 0, 1]]), labels([[0, 1, 1]])
    two = truth([[1, 1, 1]]), labels([[1, 1, 0]])
    # Background: 1 right of 2 true and 2 found; cat: 3 right of 4 true and 4 found.
    assert score(VocMeanIoU(), one, two) == pytest.approx((1 / 3 + 3 / 5) / 2)
    assert VocMeanIoU().count(*one) == {"0/0": 1, "0/1": 1, "1/1": 1}


def test_a_class_that_is_found_and_never_true_counts_zero():
    case = truth([[0, 0, 1, 1]]), labels([[0, 2, 1, 1]])
    assert score(VocMeanIoU(), (*case, CLASSES)) == pytest.approx((1 / 2 + 1 + 0) / 3)


def test_what_is_no_class_of_the_data_set_is_no_term():
    case = truth([[0, 0, 1, 1]]), labels([[0, 9, 1, VOID]])
    counts = VocMeanIoU().count(*case, CLASSES)
    assert counts == {"0/0": 1, "0/other": 1, "1/1": 1, "1/other": 1}
    assert VocMeanIoU().score(counts) == {"voc-miou": 1 / 2}
    details = VocMeanIoU().details(counts, CLASSES)
    assert [r["name"] for r in details["classes"]] == ["background", "cat"]
    assert details["confusion"] == {
        "names": ["background", "cat", "other"],
        "pixels": [[1, 0, 1], [0, 1, 1]],
    }


def test_without_classes_every_id_is_one():
    counts = VocMeanIoU().count(truth([[0, 7]]), labels([[0, 9]]))
    assert VocMeanIoU().score(counts) == {"voc-miou": pytest.approx(1 / 3)}
    names = [r["name"] for r in VocMeanIoU().details(counts, {})["classes"]]
    assert names == ["background", "class 7", "class 9"]


def test_an_id_of_the_truth_counts_though_the_data_set_does_not_name_it():
    counts = VocMeanIoU().count(truth([[7]]), labels([[7]]), CLASSES)
    assert VocMeanIoU().score(counts) == {"voc-miou": 1}


def test_an_image_that_is_all_void_counts_nothing():
    counts = VocMeanIoU().count(truth([[VOID]]), labels([[1]]), CLASSES)
    assert counts == {}
    assert VocMeanIoU().score(counts) == {}
    assert VocMeanIoU().details(counts, CLASSES)["classes"] == []


def test_counts_that_a_draw_left_at_zero_are_no_class():
    counts = {"0/0": 4.0, "0/1": 0.0, "1/1": 0.0, "1/other": 0.0}
    assert VocMeanIoU().score(counts) == {"voc-miou": 1}
    rows = VocMeanIoU().details(counts, CLASSES)["classes"]
    assert [r["name"] for r in rows] == ["background"]


def test_ids_above_the_palette_take_part():
    case = truth([[0, 1000, 1000]]), labels([[0, 1000, 3]])
    assert score(VocMeanIoU(), case) == pytest.approx((1 + 1 / 2 + 0) / 3)


# ---- class-accuracy, mean-class-dice ----------------------------------------------------------


def by_definition(true, found):
    """Equation 16 and Dice of each class by sets of pixels, and their means."""
    accuracies, dices = [], []
    for i in np.union1d(true, found):
        is_true, is_found = true == i, found == i
        tp, tn = np.sum(is_true & is_found), np.sum(~is_true & ~is_found)
        fp, fn = np.sum(~is_true & is_found), np.sum(is_true & ~is_found)
        accuracies.append((tp + tn) / (tp + tn + fp + fn))
        dices.append(2 * tp / (2 * tp + fp + fn))
    return np.mean(accuracies), np.mean(dices)


@pytest.mark.parametrize("classes", [2, 3, 21])
def test_class_accuracy_and_mean_class_dice_by_their_definitions(classes):
    sklearn = pytest.importorskip("sklearn.metrics")
    cases = [random_case(seed, classes, (5 + 3 * seed, 9)) for seed in range(6)]
    true, found = flat(*cases)
    accuracy, dice = by_definition(true, found)
    assert score(ClassAccuracy(), *cases) == pytest.approx(accuracy)
    assert score(MeanClassDice(), *cases) == pytest.approx(dice)
    assert dice == pytest.approx(sklearn.f1_score(true, found, average="macro"))
    right = sklearn.accuracy_score(true, found)
    assert accuracy == pytest.approx(right) if classes == 2 else accuracy > right


def test_class_accuracy_by_hand():
    one = truth([[0, 0, 1, VOID]]), labels([[0, 1, 1, 2]])
    two = truth([[2, 2]]), labels([[2, 0]])
    # Of 5 pixels one of background is called cat, and one dog background.
    each = [1 - 2 / 5, 1 - 1 / 5, 1 - 1 / 5]
    assert score(ClassAccuracy(), one, two) == pytest.approx(np.mean(each))
    assert score(MeanClassDice(), one, two) == pytest.approx(np.mean([2 / 4, 2 / 3, 2 / 3]))


def test_pixels_that_are_called_no_class_of_the_data_set_are_wrong():
    case = truth([[0, 0, 1, 1]]), labels([[0, 9, 1, VOID]]), CLASSES
    assert score(ClassAccuracy(), case) == pytest.approx(3 / 4)
    assert score(MeanClassDice(), case) == pytest.approx(2 / 3)


@pytest.mark.parametrize("metric", [ClassAccuracy, MeanClassDice, VocMeanIoU])
def test_a_test_set_without_background_is_told(metric):
    def note(*cases):
        counts = added(*(metric().count(*case, CLASSES) for case in cases))
        return metric().details(counts, CLASSES).get("note")

    assert note((truth([[1, 2]]), labels([[1, 0]]))) == (
        "no pixel of the data set's truth is background (class id 0), so every point on it hits "
        "and background is no class of the means; check the ids of its masks"
    )
    assert note((truth([[1, 2]]), labels([[1, 2]])), (truth([[0]]), labels([[1]]))) is None
    assert note((truth([[VOID]]), labels([[1]]))) is None


# ---- all of them ------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ALL)
@given(seed=st.integers(0, 2**32 - 1))
def test_void_pixels_change_nothing(metric, seed):
    true, found = random_case(seed, size=(6, 7), void=0.3)
    other = np.where(true.labels.ids == VOID, 3 - found.ids, found.ids)
    assert metric().count(true, found) == metric().count(true, Labels(other))


@pytest.mark.parametrize("metric", ALL)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_result_that_is_the_truth_is_worth_1(metric, seed):
    true, _ = random_case(seed, size=(6, 7), void=0)
    assert score(metric(), (true, true.labels)) == 1


@pytest.mark.parametrize("metric", ALL)
def test_another_size_is_refused(metric):
    with pytest.raises(BadValueError) as info:
        metric().count(truth([[0, 1]]), labels([[0], [1]]))
    assert str(info.value) == (
        f"{metric.name} compares pixels of one size, but the result is (2, 1) and the truth "
        "(1, 2); the data set should give truth of its image's size"
    )


@pytest.mark.parametrize("metric", ALL)
def test_the_contract_of_a_metric(metric):
    assert metric.inputs().required == ("truth", "labels")
    assert metric.output() == dict[str, float]
    assert metric().score({}) == {}
