"""Metrics of prompts and heatmaps, by hand: hit rate, distance, pointing game."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scenes_by_hand import CLASSES, SCENE, VOID, heatmap, prompts, score, truth

from segkit import Heatmap, Prompt, Prompts
from segkit_plugins.metric.class_hit_rate import ClassHitRate
from segkit_plugins.metric.distance import Distance
from segkit_plugins.metric.hit_rate import HitRate
from segkit_plugins.metric.pointing_game import PointingGame


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
