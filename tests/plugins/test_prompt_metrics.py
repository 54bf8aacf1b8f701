"""Metrics of prompts and heatmaps, by hand: hit rate, distance, pointing game."""

from __future__ import annotations

import numpy as np
import pytest
from scenes_by_hand import CLASSES, SCENE, VOID, heatmap, prompts, score, truth

from segkit import Heatmap, Prompt, Prompts
from segkit_plugins.metric.distance import Distance
from segkit_plugins.metric.hit_rate import HitRate
from segkit_plugins.metric.pointing_game import PointingGame


def test_hit_rate_by_hand():
    first = Prompt(points=[[1, 1], [0, 0], [2, 1]], signs=[True, True, False])
    second = Prompt(points=[[4, 2], [3, 0]], signs=[True, False])
    counts = HitRate().count(prompts(first, second), truth(SCENE))
    assert HitRate().score(counts) == {"hit-rate": 2 / 3, "hit-rate-background": 1 / 2}


def test_a_named_class_counts_only_its_own_region():
    on_cat, on_dog = Prompt(points=[[1, 1]], name="dog"), Prompt(points=[[3, 2]], name="dog")
    counts = HitRate().count(prompts(on_cat, on_dog), truth(SCENE), CLASSES)
    assert HitRate().score(counts) == {"hit-rate": 1 / 2}
    off = Prompt(points=[[1, 1], [3, 2]], signs=[False, False], name="dog")
    counts = HitRate().count(prompts(off), truth(SCENE), CLASSES)
    assert HitRate().score(counts) == {"hit-rate-background": 1 / 2}


def test_a_name_that_the_data_set_lacks_means_any_foreground():
    counts = HitRate().count(prompts(Prompt(points=[[1, 1]], name="tabby")), truth(SCENE), CLASSES)
    assert HitRate().score(counts) == {"hit-rate": 1}


def test_a_named_class_that_is_not_in_the_image_cannot_be_hit():
    counts = HitRate().count(prompts(Prompt(points=[[0, 0]], name="dog")), truth([[1]]), CLASSES)
    assert HitRate().score(counts) == {"hit-rate": 0}


def test_without_classes_the_names_of_the_truth_are_used():
    point = prompts(Prompt(points=[[1, 1]], name="dog"))
    assert HitRate().count(point, truth(SCENE))["hit-rate"] == 0
    assert HitRate().count(point, truth(SCENE, {}))["hit-rate"] == 1


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
    ids[1, 1:3], ids[5, 5], ids[0, 0] = 1, 2, VOID  # the cat's centre is (1.5, 1)
    counts = Distance().count(prompts(points), truth(ids), CLASSES)
    assert Distance().score(counts) == {
        "distance": pytest.approx((0 + 5) / 2),
        "distance-relative": pytest.approx(5 / 2 / 10),
    }


def test_distance_to_any_foreground_where_the_class_is_unknown_or_absent():
    ids = [[1, 1, 1, 0]]
    for name in (None, "tabby", "dog"):
        counts = Distance().count(prompts(Prompt(points=[[3, 0]], name=name)), truth(ids), CLASSES)
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


def test_pointing_game_equals_the_hit_rate_of_the_brightest_pixels():
    rng = np.random.default_rng(3)
    games, rates = [], []
    for _ in range(40):
        true = truth(rng.choice([0, 1, 2, VOID], (4, 6)))
        values = rng.random((4, 6), np.float32)
        y, x = np.unravel_index(values.argmax(), values.shape)
        games.append(PointingGame().count((Heatmap(values, "cat"),), true, CLASSES))
        rates.append(HitRate().count(prompts(Prompt(points=[[x, y]], name="cat")), true, CLASSES))
    game = score(PointingGame(), *games)["pointing-game"]
    assert game == score(HitRate(), *rates)["hit-rate"]
    assert 0 < game < 1
