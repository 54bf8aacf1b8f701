"""The prompt strategies beyond topk, maxmin and centroid-grid, on heatmaps with known answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit import Catalog, Heatmap, Image, Masks, Prompt, Prompts
from segkit.running.recipe import make_step

CATALOG = Catalog(third_party=False)
OF_HEAT = ("box", "components", "local-maxima", "mask", "distance-centers", "k-medoids", "skeleton")
REFINERS = ("adaptive-background", "disagreement", "cascade")


def asked(name, values, **options):
    step = make_step(CATALOG, "prompt", name, options)
    values = np.asarray(values, np.float32)
    given = {
        "heatmap": Heatmap(values),
        "image": Image(np.zeros((*values.shape, 3), np.uint8), "i"),
        "rng": np.random.default_rng(0),
    }
    return step(**{n: given[n] for n in type(step).inputs().all})


def blob(size, y, x, height=1.0, sigma=3.0):
    rows, columns = np.arange(size[0])[:, None], np.arange(size[1])
    return height * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * sigma**2))


def points(prompts):
    return [[tuple(p) for p in prompt.points.astype(int).tolist()] for prompt in prompts]


# ---- what all have in common -------------------------------------------------------------------


@pytest.mark.parametrize("name", OF_HEAT)
def test_no_heat_makes_no_prompt(name):
    assert len(asked(name, np.zeros((5, 7)))) == 0


@pytest.mark.parametrize("name", OF_HEAT)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (6, 8)])
def test_the_same_heat_everywhere_makes_a_prompt_inside(name, size):
    prompts = asked(name, np.full(size, 0.5))
    assert len(prompts) == 1
    assert not prompts[0].empty
    check_inside(prompts, size)


@pytest.mark.parametrize("name", OF_HEAT)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), height=st.integers(1, 20), width=st.integers(1, 20))
def test_any_heatmap_is_asked_inside_and_the_same_each_time(name, seed, height, width):
    rng = np.random.default_rng(seed)
    values = rng.random((height, width)) ** rng.integers(1, 9) * (rng.random() > 0.1)
    one, other = asked(name, values), asked(name, values)
    check_inside(one, (height, width))
    assert points(one) == points(other)


def check_inside(prompts, size):
    for prompt in prompts:
        ends = [] if prompt.box is None else [prompt.box[:2], prompt.box[2:]]
        for x, y in [*prompt.points, *ends]:
            assert 0 <= x <= size[1] - 1
            assert 0 <= y <= size[0] - 1


# ---- each of them ------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "at"), [((5, 7), (3, 2)), ((4, 4), (1.5, 1.5)), ((1, 1), (0, 0))])
def test_center_is_the_middle(size, at):
    (prompt,) = asked("center", np.zeros(size))
    assert prompt.points.tolist() == [list(at)]


def test_box_is_tight_around_the_largest_part():
    values = np.zeros((10, 12))
    values[2:5, 3:9] = 0.8
    values[8, 11] = 1
    assert asked("box", values, level=0.5)[0].box.tolist() == [3, 2, 8, 4]
    assert asked("box", values, level=0.5, largest=False)[0].box.tolist() == [3, 2, 11, 8]
    assert asked("box", values, level=0.9)[0].box.tolist() == [11, 8, 11, 8]
    assert asked("box", values, level=0.5, margin=0.5)[0].box.tolist() == [0, 0.5, 11, 5.5]


def test_components_are_objects_of_their_own():
    values = np.zeros((20, 20))
    values[1:4, 1:4], values[10:18, 10:18] = 0.6, 0.7
    values[2, 2], values[12, 15], values[19, 0] = 1, 0.9, 1
    prompts = asked("components", values, min_area=0.01)
    assert points(prompts) == [[(15, 12)], [(2, 2)]]
    assert [p.box is None for p in prompts] == [False, False]
    pointed = asked("components", values, min_area=0.01, ask="point")
    assert points(pointed) == points(prompts)
    assert [p.box for p in pointed] == [None, None]
    boxed = asked("components", values, min_area=0.01, ask="box")
    assert [p.box.tolist() for p in boxed] == [[10, 10, 17, 17], [1, 1, 3, 3]]
    both = asked("components", values, min_area=0.01, ask="both", most=1)
    assert len(both) == 1
    assert both[0].box is not None
    assert len(both[0].points) == 1


def test_local_maxima_are_peaks_and_not_neighbours():
    size = (40, 60)
    values = np.maximum(blob(size, 10, 10), blob(size, 30, 45, 0.8))
    values = np.maximum(values, blob(size, 30, 10, 0.3))
    assert points(asked("local-maxima", values)) == [[(10, 10), (45, 30)]]
    assert points(asked("local-maxima", values, level=0.2)) == [[(10, 10), (45, 30), (10, 30)]]
    assert points(asked("local-maxima", values, k=1)) == points(asked("topk", values))
    assert points(asked("local-maxima", values, separate=True)) == [[(10, 10)], [(45, 30)]]
    assert points(asked("local-maxima", values, min_distance=50)) == [[(10, 10)]]


def test_a_plateau_is_one_peak_at_its_middle():
    values = np.zeros((9, 30))
    values[2:7, 1:6] = 1
    values[2:7, 20:25] = 0.9
    assert points(asked("local-maxima", values, min_distance=2)) == [[(3, 4), (22, 4)]]


def test_mask_is_positive_where_it_is_hot():
    values = blob((20, 30), 10, 12)
    for options in ({}, {"soft": True}):
        logits = asked("mask", values, level=0.5, strength=6, **options)[0].mask
        assert logits.shape == (20, 30)
        assert ((logits > 0) == (values.astype(np.float32) >= 0.5)).all()
        assert logits.max() == 6
        assert logits.min() == pytest.approx(-6, abs=0.01)


def test_distance_centers_are_most_interior():
    values = np.zeros((21, 41))
    values[3:18, 3:18] = 1  # a square of 15, and one of 9
    values[6:15, 28:37] = 1
    assert points(asked("distance-centers", values, k=1)) == [[(10, 10)]]
    assert points(asked("distance-centers", values, k=2)) == [[(10, 10), (32, 10)]]


def test_k_medoids_are_the_middles_of_the_lumps():
    size = (40, 90)
    values = sum(blob(size, 20, x, 1, 2) for x in (12, 45, 78))
    (found,) = points(asked("k-medoids", values, k=3))
    assert sorted(found) == [(12, 20), (45, 20), (78, 20)]
    (one,) = points(asked("k-medoids", values, k=1))
    assert one == [(45, 20)]


def test_skeleton_points_reach_from_end_to_end():
    values = np.zeros((20, 60))
    values[8:13, 5:55] = 0.9
    values[10, 30] = 1
    (found,) = points(asked("skeleton", values, k=3, level=0.5))
    assert found[0] == (30, 10)
    assert min(x for x, _ in found) < 12
    assert max(x for x, _ in found) > 48
    assert all(8 <= y < 13 for _, y in found)


# ---- second looks ------------------------------------------------------------------------------


def refined(name, prompt, mask, values, logits=None, **options):
    step = make_step(CATALOG, "prompt", name, options)
    masks = Masks(mask[None], [0.9], [0], (), None if logits is None else logits[None])
    given = {
        "prompts": Prompts((prompt,)),
        "masks": masks,
        "heatmap": Heatmap(np.asarray(values, np.float32)),
        "image": Image(np.zeros((*mask.shape, 3), np.uint8), "i"),
        "ask": lambda prompts: pytest.fail("nobody is asked for the cold"),
    }
    assert len(step()) == 0
    return step.refine(**{n: given[n] for n in type(step).inputs_of("refine").all})


def test_a_cold_part_gets_a_background_point_at_its_most_interior_pixel():
    values = blob((30, 60), 15, 12)
    by_heat = {"evidence": "heat", "least": 0.1}
    mask = np.zeros((30, 60), bool)
    mask[10:21, 7:18] = True
    assert (
        refined("adaptive-background", Prompt(points=[(12, 15)]), mask, values, **by_heat) is None
    )
    mask[11:20, 40:49] = True  # 9 × 9, far from all heat
    (prompt,) = refined("adaptive-background", Prompt(points=[(12, 15)]), mask, values, **by_heat)
    assert prompt.points.tolist() == [[12, 15], [44, 15]]
    assert prompt.signs.tolist() == [True, False]
    # Asked again with the same mask: the point is there already.
    assert refined("adaptive-background", prompt, mask, values, **by_heat) is None
    assert refined("adaptive-background", prompt, mask, values * 0, **by_heat) is None
    assert refined("adaptive-background", prompt, mask, values, **{**by_heat, "least": 0.9}) is None


def test_disagreement_clicks_the_larger_region():
    values = np.maximum(blob((40, 60), 20, 12, sigma=6), blob((40, 60), 20, 45, sigma=4))
    mask = np.zeros((40, 60), bool)
    mask[14:27, 5:20] = True
    (prompt,) = refined("disagreement", Prompt(points=[(12, 20)]), mask, values)
    assert prompt.points[1].tolist() == [45, 20]
    assert prompt.signs.tolist() == [True, True]
    everything = np.ones((40, 60), bool)
    (prompt,) = refined("disagreement", Prompt(points=[(12, 20)]), everything, values)
    assert prompt.signs.tolist() == [True, False]
    x, y = prompt.points[1].astype(int)
    assert values[y, x] < 0.1
    hot = values >= 0.5
    assert refined("disagreement", Prompt(points=[(12, 20)]), hot, values) is None


def test_a_missed_region_is_given_to_the_nearest_prompt():
    values = np.maximum(blob((40, 80), 20, 15, sigma=5), blob((40, 80), 20, 60, sigma=5))
    step = make_step(CATALOG, "prompt", "disagreement", {"cold": 0})
    one, other = np.zeros((2, 40, 80), bool)
    one[12:29, 7:24] = True
    other[:4, 70:] = True
    prompts = Prompts((Prompt(points=[(15, 20)]), Prompt(points=[(75, 2)])))
    masks = Masks(np.stack([one, other]), [0.9, 0.9], [0, 1])
    made = step.refine(prompts=prompts, masks=masks, heatmap=Heatmap(values.astype(np.float32)))
    assert len(made[0].points) == 1
    assert made[1].points[1].tolist() == [60, 20]


def test_cascade_gives_the_logits_back_once():
    mask = np.ones((8, 8), bool)
    logits = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    first = Prompt(points=[(3, 3)])
    (prompt,) = refined("cascade", first, mask, np.ones((8, 8)), logits)
    assert (prompt.mask == logits).all()
    assert prompt.points.tolist() == first.points.tolist()
    assert refined("cascade", prompt, mask, np.ones((8, 8)), logits) is None
    assert refined("cascade", first, mask, np.ones((8, 8))) is None
