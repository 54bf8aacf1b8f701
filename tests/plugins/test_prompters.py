"""maxmin, topk and centroid-grid: against brute force, and on heatmaps of every odd kind."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segkit import Heatmap, Prompts, UsageError
from segkit_plugins.prompt._peaks import brightest
from segkit_plugins.prompt.centroid_grid import CentroidGrid
from segkit_plugins.prompt.maxmin import MaxMin
from segkit_plugins.prompt.topk import TopK

SIZES = st.tuples(st.integers(1, 14), st.integers(1, 14))
ANY = arrays(np.float32, SIZES, elements=st.floats(0, 1, width=32))
FEW_LEVELS = arrays(np.float32, SIZES, elements=st.sampled_from([0.0, 0.25, 0.5, 1.0]))
quick = settings(deadline=None, max_examples=80)


def rng(seed=0):
    return np.random.default_rng(seed)


def peak(size, y, x, value=1.0):
    values = np.zeros(size, np.float32)
    values[y, x] = value
    return values


def asked(prompter, values, seed=0):
    """(foreground, background) points as lists of (x, y); the heatmap must stay as it was."""
    before = values.copy()
    inputs = {"heatmap": Heatmap(values)}
    if "rng" in prompter.inputs().all:
        inputs["rng"] = rng(seed)
    prompts = prompter(**inputs)
    assert np.array_equal(values, before)
    assert isinstance(prompts, Prompts)
    if not len(prompts):
        return [], []
    (prompt,) = prompts
    height, width = values.shape
    assert (prompt.points >= 0).all()
    assert (prompt.points <= (width - 1, height - 1)).all()
    assert prompt.box is prompt.mask is None
    points = [(float(x), float(y)) for x, y in prompt.points]
    signs = prompt.signs.tolist()
    assert signs == sorted(signs, reverse=True)  # foreground first
    return points[: sum(signs)], points[sum(signs) :]


PROMPTERS = [
    MaxMin(),
    MaxMin(background=True),
    TopK(),
    TopK(k=5, min_distance=3, background=3, background_distance=0.2),
    CentroidGrid(),
    CentroidGrid(background=True, offset=2),
]


# ---- what all three have in common ------------------------------------------------------------


@pytest.mark.parametrize("prompter", PROMPTERS, ids=repr)
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 5), (37, 50)])
def test_a_heatmap_without_heat_makes_no_prompt(prompter, size):
    assert asked(prompter, np.zeros(size, np.float32)) == ([], [])


@pytest.mark.parametrize("prompter", PROMPTERS, ids=repr)
@pytest.mark.parametrize("value", [1e-6, 0.3, 1.0])
def test_a_constant_heatmap_is_clicked_in_the_middle(prompter, value):
    foreground, _ = asked(prompter, np.full((21, 31), value, np.float32))
    assert foreground[0] == (15, 10)


@pytest.mark.parametrize("prompter", PROMPTERS, ids=repr)
def test_a_single_pixel_is_clicked(prompter):
    assert asked(prompter, np.full((1, 1), 0.7, np.float32)) == ([(0, 0)], [])


@pytest.mark.parametrize("prompter", PROMPTERS, ids=repr)
@pytest.mark.parametrize(("y", "x"), [(0, 0), (0, 49), (36, 0), (36, 49)])
def test_a_peak_in_a_corner_is_clicked(prompter, y, x):
    foreground, _ = asked(prompter, peak((37, 50), y, x))
    assert foreground[0] == (x, y)


@pytest.mark.parametrize("prompter", PROMPTERS, ids=repr)
@given(values=st.one_of(ANY, FEW_LEVELS), seed=st.integers(0, 9))
@quick
def test_points_lie_inside_differ_and_repeat_with_the_seed(prompter, values, seed):
    foreground, background = asked(prompter, values, seed)
    assert bool(foreground) == bool(values.any())
    assert len({*foreground, *background}) == len(foreground) + len(background)
    assert asked(prompter, values, seed) == (foreground, background)


@pytest.mark.parametrize("prompter", [MaxMin(), TopK(), TopK(k=4), CentroidGrid()], ids=repr)
@given(values=ANY)
@quick
def test_background_is_off_by_default(prompter, values):
    assert asked(prompter, values)[1] == []


# ---- brightest pixels -------------------------------------------------------------------------


def in_order(values):
    """All pixels (y, x) with heat by the documented order, the slow way."""
    levels = {}
    for y, x in np.ndindex(values.shape):
        levels.setdefault(float(values[y, x]), []).append((y, x))
    order = []
    for level in sorted(levels, reverse=True):
        if level > 0:
            centre = np.mean(levels[level], axis=0)
            order += sorted(
                levels[level], key=lambda p: ((p[0] - centre[0]) ** 2 + (p[1] - centre[1]) ** 2, p)
            )
    return order


def greedy(values, k, min_distance):
    chosen = []
    for y, x in in_order(values):
        if all(math.hypot(y - b, x - a) >= min_distance for a, b in chosen):
            chosen.append((x, y))
    return chosen[:k]


@given(values=st.one_of(ANY, FEW_LEVELS), k=st.integers(1, 12), min_distance=st.integers(0, 20))
@settings(deadline=None, max_examples=300)
def test_topk_equals_a_slow_search(values, k, min_distance):
    found = asked(TopK(k=k, min_distance=min_distance), values)[0]
    assert found == greedy(values, k, min_distance)


@given(values=st.one_of(ANY, FEW_LEVELS), k=st.integers(1, 12), min_distance=st.integers(0, 9))
@quick
def test_chosen_points_are_the_brightest_and_far_enough_from_each_other(values, k, min_distance):
    found = brightest(values, k, min_distance)
    heat = [float(values[int(y), int(x)]) for x, y in found]
    assert heat == sorted(heat, reverse=True)
    assert all(h > 0 for h in heat)
    for i, one in enumerate(found):
        for other in found[:i]:
            assert math.hypot(*(one - other)) >= max(min_distance, 1)
    if min_distance <= 1:
        assert heat == sorted(values[values > 0].tolist(), reverse=True)[:k]


def test_pixels_without_heat_are_never_foreground():
    values = peak((9, 9), 4, 4)
    values[2, 2] = 0.1
    assert asked(TopK(k=10), values)[0] == [(4, 4), (2, 2)]


def test_a_plateau_is_clicked_in_its_middle_and_two_maxima_in_a_fixed_order():
    values = np.zeros((20, 30), np.float32)
    values[5:10, 10:21] = 1
    assert asked(TopK(), values)[0] == asked(MaxMin(), values)[0] == [(15, 7)]
    twins = peak((20, 30), 3, 4) + peak((20, 30), 15, 25)  # equally far from their centre
    assert asked(TopK(k=2), twins)[0] == [(4, 3), (25, 15)]


def test_an_enormous_distance_or_number_is_no_trouble():
    values = rng().random((30, 40)).astype(np.float32)
    assert len(asked(TopK(k=5, min_distance=10**6), values)[0]) == 1
    assert len(asked(TopK(k=10**6), values)[0]) == 30 * 40


def test_a_picture_of_twelve_megapixels_is_no_trouble():
    values = np.add.outer(np.linspace(0, 0.5, 3000), np.linspace(0, 0.5, 4000)).astype(np.float32)
    assert asked(MaxMin(background=True), values) == ([(3999, 2999)], [(0, 0)])
    foreground, background = asked(TopK(k=3, min_distance=100, background=2), values)
    assert foreground[0] == (3999, 2999)
    assert len(foreground) == 3
    assert len(background) == 2
    assert len(asked(CentroidGrid(background=True), values)[0]) == 9


# ---- background of maxmin and topk ------------------------------------------------------------


def test_maxmin_finds_both_extremes():
    values = np.full((12, 16), 0.5, np.float32)
    values[3, 4], values[9, 2] = 0.9, 0.1
    assert asked(MaxMin(background=True), values) == ([(4, 3)], [(2, 9)])


def test_of_several_minima_the_one_farthest_from_the_maximum_is_taken():
    assert asked(MaxMin(background=True), peak((12, 16), 2, 3)) == ([(3, 2)], [(15, 11)])
    assert asked(MaxMin(background=True), peak((5, 5), 2, 2)) == ([(2, 2)], [(0, 0)])


def test_where_nothing_is_darker_there_is_no_background_point():
    assert asked(MaxMin(background=True), np.full((7, 7), 0.2, np.float32))[1] == []


@given(
    values=ANY,
    count=st.integers(1, 8),
    share=st.floats(0, 1),
    seed=st.integers(0, 99),
    k=st.integers(1, 4),
)
@settings(deadline=None, max_examples=200)
def test_background_points_keep_their_distance(values, count, share, seed, k):
    foreground, background = asked(
        TopK(k=k, background=count, background_distance=share), values, seed
    )
    if not foreground:
        return
    x, y = np.mean(foreground, axis=0)
    least = share * math.hypot(*values.shape)
    assert all(math.hypot(a - x, b - y) >= least - 1e-6 for a, b in background)
    far = {
        (a, b)
        for b, a in np.ndindex(values.shape)
        if math.hypot(a - x, b - y) > least + 1e-6 and (a, b) not in foreground
    }
    assert len(background) >= min(count, len(far))
    assert len(background) <= count


def test_background_points_are_drawn_evenly_from_all_pixels_far_enough():
    values = peak((5, 8), 2, 0)
    step = TopK(background=1, background_distance=0.5)
    far = {(x, y) for y, x in np.ndindex(5, 8) if math.hypot(x, y - 2) >= math.hypot(5, 8) / 2}
    source = rng(3)
    counts = dict.fromkeys(far, 0)
    for _ in range(2000):
        (prompt,) = step(heatmap=Heatmap(values), rng=source)
        counts[tuple(prompt.points[1].tolist())] += 1
    assert min(counts.values()) > 0.6 * 2000 / len(far)
    assert max(counts.values()) < 1.4 * 2000 / len(far)


def test_other_seeds_draw_other_points():
    values = peak((60, 60), 5, 5)
    drawn = {tuple(asked(TopK(background=2), values, seed)[1]) for seed in range(5)}
    assert len(drawn) == 5


# ---- centroid-grid ----------------------------------------------------------------------------


@given(values=ANY.filter(lambda v: v.any()), threshold=st.floats(0.05, 1), offset=st.integers(0, 4))
@quick
def test_the_grid_stands_around_the_weighted_centre_of_the_hot_pixels(values, threshold, offset):
    top = values.max()
    weight, x, y = 0.0, 0.0, 0.0
    for row, column in np.ndindex(values.shape):
        if values[row, column] > threshold * top or values[row, column] == top:
            heat = float(values[row, column])
            weight, x, y = weight + heat, x + heat * column, y + heat * row
    x, y = x / weight, y / weight
    height, width = values.shape
    wanted = {
        (round(min(max(x + i, 0), width - 1), 3), round(min(max(y + j, 0), height - 1), 3))
        for i in (0, -offset, offset)
        for j in (0, -offset, offset)
    }
    found, _ = asked(CentroidGrid(threshold=threshold, offset=offset), values)
    assert found[0] == (pytest.approx(x, abs=1e-3), pytest.approx(y, abs=1e-3))
    for point in found:
        assert any(math.dist(point, w) < 3e-3 for w in wanted)
    for w in wanted:
        assert any(math.dist(point, w) < 3e-3 for point in found)


def test_a_pixel_at_the_threshold_is_not_hot():
    """The report's region is what is *greater* than 80 % of the maximum, in single precision."""
    values = peak((20, 30), 8, 12)
    values[8, 20] = np.float32(0.8)
    assert asked(CentroidGrid(), values)[0][0] == (12, 8)
    values[8, 20] = np.nextafter(np.float32(0.8), np.float32(1))
    assert asked(CentroidGrid(), values)[0][0][0] == pytest.approx((12 + 0.8 * 20) / 1.8, abs=1e-3)
    assert asked(CentroidGrid(threshold=1), values)[0][0] == (12, 8)


def test_nine_points_inside_four_in_a_corner_one_without_offset():
    values = peak((20, 30), 8, 12)
    found, _ = asked(CentroidGrid(), values)
    assert sorted(found) == [(float(x), float(y)) for x in (11, 12, 13) for y in (7, 8, 9)]
    assert found[0] == (12, 8)
    assert sorted(asked(CentroidGrid(), peak((20, 30), 0, 29))[0]) == [
        (28, 0),
        (28, 1),
        (29, 0),
        (29, 1),
    ]
    assert asked(CentroidGrid(offset=0), values)[0] == [(12, 8)]


def test_heat_pulls_the_centre():
    values = np.zeros((5, 11), np.float32)
    values[2, 2], values[2, 8] = 0.9, 1.0
    (x, y), *_ = asked(CentroidGrid(), values)[0]
    assert y == 2
    assert x == pytest.approx((0.9 * 2 + 1.0 * 8) / 1.9, abs=1e-5)


def test_the_outermost_cold_pixels_are_background():
    values = np.full((9, 9), 0.5, np.float32)
    values[4, 4] = 1
    assert asked(CentroidGrid(background=True), values)[1] == []
    values[1, 3], values[7, 5], values[2, 0], values[6, 8] = 0.05, 0.0, 0.09, 0.02
    assert asked(CentroidGrid(background=True), values)[1] == [(3, 1), (5, 7), (0, 2), (8, 6)]
    assert asked(CentroidGrid(background=True, cold=0.03), values)[1] == [(8, 6), (5, 7)]


def test_of_several_outermost_pixels_the_middle_one_is_taken():
    background = asked(CentroidGrid(background=True), peak((9, 11), 4, 5))[1]
    assert background == [(5, 0), (5, 8), (0, 4), (10, 4)]


def test_a_hot_pixel_is_never_cold():
    """All of a faint heatmap lies below 0.1, its maximum too."""
    assert asked(CentroidGrid(background=True), np.full((8, 8), 0.01, np.float32))[1] == []


# ---- options ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "wrong"),
    [
        (TopK, {"k": 0}),
        (TopK, {"min_distance": -1}),
        (TopK, {"background": -1}),
        (TopK, {"background_distance": 1.5}),
        (CentroidGrid, {"threshold": 0}),
        (CentroidGrid, {"threshold": 1.1}),
        (CentroidGrid, {"offset": -1}),
        (CentroidGrid, {"cold": 0}),
        (MaxMin, {"backgruond": True}),
    ],
)
def test_wrong_options_are_refused(cls, wrong):
    with pytest.raises(UsageError):
        cls(**wrong)
