"""The metrics against scikit-learn, torchmetrics and cases computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segkit import BadValueError, Heatmap, Labels, Masks, Prompt, Prompts, Truth
from segkit_plugins.metric.accuracy import Accuracy
from segkit_plugins.metric.class_hit_rate import ClassHitRate
from segkit_plugins.metric.dice import Dice
from segkit_plugins.metric.distance import Distance
from segkit_plugins.metric.hit_rate import HitRate
from segkit_plugins.metric.iou import IoU
from segkit_plugins.metric.miou import MeanIoU
from segkit_plugins.metric.pointing_game import PointingGame

ALL = (Accuracy, ClassHitRate, Dice, Distance, HitRate, IoU, MeanIoU, PointingGame)
VOID = 255
CLASSES = {1: "cat", 2: "dog"}


def truth(ids, classes=CLASSES):
    return Truth(Labels(np.array(ids, np.int32), classes))


def labels(ids):
    return Labels(np.array(ids, np.int32), CLASSES)


def masks(*arrays):
    n = len(arrays)
    return Masks(np.array(arrays, bool), np.ones(n, np.float32), np.arange(n))


def score(metric, *counted):
    """The figures for several images' counts, added as a run adds them."""
    total: dict[str, float] = {}
    for counts in counted:
        for key, value in counts.items():
            total[key] = total.get(key, 0) + value
    return metric.score(total)


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


# ---- hit-rate ---------------------------------------------------------------------------------

SCENE = [
    [0, 0, 0, 0, VOID],
    [0, 1, 1, 0, VOID],
    [0, 0, 0, 2, 2],
]


def prompts(*items):
    return Prompts(tuple(items))


def test_hit_rate_by_hand():
    first = Prompt(points=[[1, 1], [0, 0], [2, 1]], signs=[True, True, False])
    second = Prompt(points=[[4, 2], [3, 0]], signs=[True, False])
    counts = HitRate().count(prompts(first, second), truth(SCENE))
    assert HitRate().score(counts) == {"hit-rate": 2 / 3, "hit-rate-background": 1 / 2}


def random_prompts(rng, names, size=(6, 9)):
    """Some prompts of a few points each, named at random."""
    made = []
    for _ in range(4):
        points = np.stack([rng.integers(0, size[1], 5), rng.integers(0, size[0], 5)], axis=1)
        name = rng.choice(np.array([None, *names], object))
        made.append(Prompt(points=points, signs=rng.random(5) < 0.6, name=name))
    return prompts(*made)


def reference(named, true, strict):
    """Hits and points of either sign, (2, 2), pixel by pixel."""
    totals = np.zeros((2, 2), int)
    for prompt in named:
        wanted = {i for i, name in CLASSES.items() if name == prompt.name} if strict else set()
        for (x, y), sign in zip(prompt.points.astype(int).tolist(), prompt.signs, strict=True):
            here = int(true.labels.ids[y, x])
            if here == VOID:
                continue
            on = here in wanted if wanted else here > 0
            totals[int(sign)] += on == sign, 1
    return totals


@pytest.mark.parametrize(("metric", "strict"), [(HitRate, False), (ClassHitRate, True)])
def test_the_hit_rates_equal_a_loop_over_points(metric, strict):
    rng = np.random.default_rng(4)
    counted, expected = [], np.zeros((2, 2), int)
    for _ in range(30):
        true = truth(rng.choice([0, 1, 2, VOID], (6, 9)))
        asked = random_prompts(rng, ["cat", "dog", "tabby"])
        given = {"prompts": asked, "truth": true, "classes": CLASSES}
        counted.append(metric().count(**{k: given[k] for k in metric.inputs().all}))
        expected += reference(asked, true, strict)
    (off, backgrounds), (on, foregrounds) = expected
    assert score(metric(), *counted) == {
        metric.name: pytest.approx(on / foregrounds),
        f"{metric.name}-background": pytest.approx(off / backgrounds),
    }


def test_a_wrong_class_name_changes_neither_hit_rate_nor_distance():
    for metric in (HitRate, Distance):
        for sign in (True, False):
            called = {
                name: metric().count(
                    prompts(Prompt(points=[[1, 1], [3, 2]], signs=[sign, sign], name=name)),
                    truth(SCENE),
                )
                for name in ("cat", "dog", "tabby", None)
            }
            assert all(counts == called[None] for counts in called.values()), called
    on_cat = prompts(Prompt(points=[[1, 1]], name="dog"))
    assert HitRate().count(on_cat, truth(SCENE))["hit-rate"] == 1
    assert ClassHitRate().count(on_cat, truth(SCENE), CLASSES)["class-hit-rate"] == 0
    off = prompts(Prompt(points=[[1, 1]], signs=[False], name="dog"))
    assert HitRate().count(off, truth(SCENE))["hit-rate-background"] == 0
    counts = ClassHitRate().count(off, truth(SCENE), CLASSES)
    assert counts["class-hit-rate-background"] == 1


def test_a_named_class_counts_only_its_own_region():
    on_cat, on_dog = Prompt(points=[[1, 1]], name="dog"), Prompt(points=[[3, 2]], name="dog")
    counts = ClassHitRate().count(prompts(on_cat, on_dog), truth(SCENE), CLASSES)
    assert ClassHitRate().score(counts) == {"class-hit-rate": 1 / 2}
    off = Prompt(points=[[1, 1], [3, 2]], signs=[False, False], name="dog")
    counts = ClassHitRate().count(prompts(off), truth(SCENE), CLASSES)
    assert ClassHitRate().score(counts) == {"class-hit-rate-background": 1 / 2}


def test_a_name_that_the_data_set_lacks_means_any_foreground():
    tabby = prompts(Prompt(points=[[1, 1]], name="tabby"))
    counts = ClassHitRate().count(tabby, truth(SCENE), CLASSES)
    assert ClassHitRate().score(counts) == {"class-hit-rate": 1}


def test_a_named_class_that_is_not_in_the_image_cannot_be_hit():
    dog = prompts(Prompt(points=[[0, 0]], name="dog"))
    counts = ClassHitRate().count(dog, truth([[1]]), CLASSES)
    assert ClassHitRate().score(counts) == {"class-hit-rate": 0}
    assert HitRate().score(HitRate().count(dog, truth([[1]]))) == {"hit-rate": 1}


def test_without_classes_the_names_of_the_truth_are_used():
    point = prompts(Prompt(points=[[1, 1]], name="dog"))
    assert ClassHitRate().count(point, truth(SCENE))["class-hit-rate"] == 0
    assert ClassHitRate().count(point, truth(SCENE, {}))["class-hit-rate"] == 1


@pytest.mark.parametrize("metric", [HitRate, ClassHitRate])
def test_a_test_set_without_background_is_told(metric):
    def told(*truths):
        asked = prompts(Prompt(points=[[0, 0]]))
        total: dict[str, float] = {}
        for ids in truths:
            for key, value in metric().count(asked, truth(ids)).items():
                total[key] = total.get(key, 0) + value
        return metric().details(total, CLASSES)

    assert told([[1, 2]], [[2, VOID]]) == {
        "note": "no pixel of the data set's truth is background (class id 0), so every point on it "
        "hits and background is no class of the means; check the ids of its masks"
    }
    assert told([[1, 2]], [[1, 0]]) == {}
    assert told([[VOID, VOID]]) == {}  # no point of it counts
    assert metric().details({metric.name: 1, "points": 1}, CLASSES) == {}  # of an earlier run


def test_points_on_void_are_left_out():
    points = Prompt(points=[[4, 0], [4, 1], [1, 1]], signs=[True, False, True])
    counts = HitRate().count(prompts(points), truth(SCENE))
    assert HitRate().score(counts) == {"hit-rate": 1}


def test_a_point_lies_in_the_nearest_pixel():
    for x, y, hit in [(0.5, 0.5, 1), (0.49, 1, 0), (2.49, 1.49, 1), (2.5, 1, 0), (1, -0.5, 0)]:
        counts = HitRate().count(prompts(Prompt(points=[[x, y]])), truth(SCENE))
        assert HitRate().score(counts) == {"hit-rate": hit}, (x, y)
    corner = HitRate().count(prompts(Prompt(points=[[4.5, 2.5]])), truth(SCENE))
    assert HitRate().score(corner) == {"hit-rate": 1}


def test_hit_rate_pools_points_over_images():
    one = HitRate().count(prompts(Prompt(points=[[1, 1]])), truth(SCENE))
    three = HitRate().count(prompts(Prompt(points=[[0, 0]] * 3)), truth(SCENE))
    assert score(HitRate(), one, three) == {"hit-rate": 1 / 4}


def test_prompts_without_points_give_no_figure():
    box = Prompts((Prompt(box=[0, 0, 1, 1]),))
    for metric in (HitRate(), Distance()):
        assert metric.score(metric.count(box, truth(SCENE))) == {}
        assert metric.score(metric.count(Prompts(), truth(SCENE))) == {}
        assert metric.score({}) == {}


# ---- distance ---------------------------------------------------------------------------------


def test_distance_by_hand():
    points = Prompt(points=[[1.5, 1], [4.5, 5], [0, 0]], signs=[True, True, False], name="cat")
    ids = np.zeros((6, 8), np.int32)
    ids[1, 1:3], ids[0, 0] = 1, VOID  # the object's centre is (1.5, 1)
    counts = Distance().count(prompts(points), truth(ids))
    assert Distance().score(counts) == {
        "distance": pytest.approx((0 + 5) / 2),
        "distance-relative": pytest.approx(5 / 2 / 10),
    }


def test_distance_equals_scipy_s_centre_of_mass():
    ndimage = pytest.importorskip("scipy.ndimage")
    rng = np.random.default_rng(5)
    counted, pixels, relative = [], [], []
    for _ in range(20):
        ids = rng.choice([0, 1, 2, VOID], (6, 9), p=[0.6, 0.2, 0.1, 0.1])
        asked = random_prompts(rng, ["cat", "dog", "tabby"])
        counted.append(Distance().count(asked, truth(ids)))
        y, x = ndimage.center_of_mass((ids > 0) & (ids != VOID))
        for prompt in asked:
            for (px, py), sign in zip(prompt.points.tolist(), prompt.signs, strict=True):
                if sign:
                    pixels.append(math.dist((px, py), (x, y)))
                    relative.append(pixels[-1] / math.sqrt(6**2 + 9**2))
    assert score(Distance(), *counted) == {
        "distance": pytest.approx(np.mean(pixels)),
        "distance-relative": pytest.approx(np.mean(relative)),
    }


def test_distance_goes_to_all_objects_together_whatever_the_name():
    ids = [[1, 1, 2, 0]]
    for name in (None, "tabby", "cat", "dog"):
        counts = Distance().count(prompts(Prompt(points=[[3, 0]], name=name)), truth(ids))
        assert Distance().score(counts)["distance"] == 2


def test_distance_without_foreground_is_left_out():
    point = prompts(Prompt(points=[[0, 0]]))
    nothing = Distance().count(point, truth([[0, VOID]]))
    assert Distance().score(nothing) == {}
    something = Distance().count(point, truth([[0, 1]]))
    assert score(Distance(), nothing, something)["distance"] == 1


def test_relative_distance_uses_each_image_s_own_diagonal():
    point = prompts(Prompt(points=[[0, 0]]))
    small, large = np.zeros((3, 4)), np.zeros((30, 40))
    small[0, 2] = large[0, 10] = 1
    figures = score(
        Distance(), *(Distance().count(point, truth(ids.astype(int))) for ids in (small, large))
    )
    assert figures["distance"] == 6
    assert figures["distance-relative"] == pytest.approx((2 / 5 + 10 / 50) / 2)


# ---- pointing-game ----------------------------------------------------------------------------


def heatmap(brightest, name=None, size=(3, 5)):
    values = np.full(size, 0.25, np.float32)
    if brightest is not None:
        values[brightest[1], brightest[0]] = 1
    return Heatmap(values, name)


def play(*heatmaps, classes=CLASSES):
    counts = PointingGame().count(heatmaps, truth(SCENE), classes)
    return PointingGame().score(counts)


def test_pointing_game_by_hand():
    assert play(heatmap((1, 1))) == {"pointing-game": 1}
    assert play(heatmap((0, 0))) == {"pointing-game": 0}
    assert play(heatmap((1, 1), "dog")) == {"pointing-game": 0}
    assert play(heatmap((1, 1), "tabby")) == {"pointing-game": 1}


def test_several_heatmaps_count_their_mean():
    assert play(heatmap((1, 1), "cat"), heatmap((1, 1), "dog")) == {"pointing-game": 1 / 2}


def test_a_brightest_pixel_on_void_is_left_out():
    assert play(heatmap((4, 0))) == {}
    assert play(heatmap((4, 0)), heatmap((1, 1))) == {"pointing-game": 1}


def test_a_heatmap_that_sees_nothing_misses():
    zero = Heatmap(np.zeros((1, 2), np.float32))
    for ids in ([[1, 1]], [[VOID, 1]]):
        counts = PointingGame().count((zero,), truth(ids))
        assert counts == {"pointing-game": 0, "images": 1}


def test_a_constant_heatmap_points_at_the_first_pixel():
    constant = Heatmap(np.full((1, 2), 0.5, np.float32))
    assert PointingGame().count((constant,), truth([[1, 0]]))["pointing-game"] == 1
    assert PointingGame().count((constant,), truth([[0, 1]]))["pointing-game"] == 0


def test_pointing_game_equals_the_class_hit_rate_of_the_brightest_pixels():
    rng = np.random.default_rng(3)
    games, rates = [], []
    for _ in range(40):
        true = truth(rng.choice([0, 1, 2, VOID], (4, 6)))
        values = rng.random((4, 6), np.float32)
        y, x = np.unravel_index(values.argmax(), values.shape)
        games.append(PointingGame().count((Heatmap(values, "cat"),), true, CLASSES))
        brightest = prompts(Prompt(points=[[x, y]], name="cat"))
        rates.append(ClassHitRate().count(brightest, true, CLASSES))
    game = score(PointingGame(), *games)["pointing-game"]
    assert game == score(ClassHitRate(), *rates)["class-hit-rate"]
    assert 0 < game < 1


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
