"""Second looks in real runs: gradcam, a prompter, sam and back, on generated shapes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from segkit import Catalog, Pipeline
from segkit.running.recipe import make_step

CATALOG = Catalog(third_party=False)
SELDOM = (
    pytest.param(name, marks=pytest.mark.slow) for name in ("centroid-grid", "mask", "box+topk")
)
FIRST = ("maxmin", "components", *SELDOM, "center")
CLICKS = ("adaptive-background", "disagreement")
MANY = 6
LONG = 16


@lru_cache
def images():
    data = make_step(CATALOG, "dataset", "shapes", {"count": 5, "seed": 10011, "size": 96})
    return [data[i][0] for i in range(len(data))]


@lru_cache
def results(prompt, rounds):
    options = {"gradcam.model": "shapes"}
    if "adaptive-background" in prompt:
        options["adaptive-background.evidence"] = "heat"
    with Pipeline(prompt=prompt, options=options, rounds=rounds, catalog=CATALOG) as pipeline:
        return list(pipeline.each(images()))


def pairs(prompt, rounds, other):
    """(result, prompt's place, prompt, the same prompt in a run of `other` rounds)."""
    for result, later in zip(results(prompt, rounds), results(prompt, other), strict=True):
        assert len(result.prompts) == len(later.prompts)
        for place, (one, two) in enumerate(zip(result.prompts, later.prompts, strict=True)):
            yield result, place, one, two


def clicks(one, two):
    """The points that `two` adds to `one`: (x, y, sign)."""
    count = len(one.points)
    assert two.points[:count].tolist() == one.points.tolist()
    assert two.signs[:count].tolist() == one.signs.tolist()
    added = two.points[count:].tolist()
    return [(int(x), int(y), s) for (x, y), s in zip(added, two.signs[count:], strict=True)]


@pytest.mark.parametrize("first", FIRST[:-1])  # center alone reads no heatmap
@pytest.mark.parametrize("refiner", CLICKS)
def test_one_round_is_the_first_prompter_alone(refiner, first):
    for with_it, without in zip(results(f"{first}+{refiner}", 1), results(first, 1), strict=True):
        assert (with_it.labels.ids == without.labels.ids).all()
        for one, two in zip(without.prompts, with_it.prompts, strict=True):
            assert clicks(one, two) == []


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("refiner", CLICKS)
def test_each_round_adds_one_new_click_inside_at_most(refiner, first):
    for rounds in (2, MANY):
        for result, _, one, two in pairs(f"{first}+{refiner}", 1, rounds):
            assert len(clicks(one, two)) <= rounds - 1
            height, width = result.image.size
            assert (two.points >= 0).all()
            assert (two.points <= (width - 1, height - 1)).all()
            assert len(np.unique(two.points, axis=0)) == len(two.points)


@pytest.mark.parametrize("first", ["maxmin", "centroid-grid", "distance-centers"])
def test_adaptive_background_clicks_where_the_mask_is_cold(first):
    seen = 0
    for result, place, one, two in pairs(f"{first}+adaptive-background", 1, 2):
        values = result.heatmaps[0].values
        (mask,) = result.masks.masks[result.masks.prompt == place]
        for x, y, sign in clicks(one, two):
            seen += 1
            assert not sign
            assert mask[y, x]
            assert values[y, x] < 0.1 * values.max()
    assert seen


@pytest.mark.parametrize("first", ["maxmin", "centroid-grid", "components"])
def test_disagreement_clicks_where_mask_and_heatmap_disagree(first):
    seen = 0
    for result, place, one, two in pairs(f"{first}+disagreement", 1, 2):
        values = result.heatmaps[0].values
        (mask,) = result.masks.masks[result.masks.prompt == place]
        for x, y, sign in clicks(one, two):
            seen += 1
            if sign:
                assert values[y, x] >= 0.7 * values.max()
                assert not result.masks.masks[:, y, x].any()
            else:
                assert values[y, x] < 0.1 * values.max()
                assert mask[y, x]
    assert seen


@pytest.mark.parametrize("refiner", CLICKS)
def test_it_stops_where_it_has_nothing_more_to_ask(refiner):
    by_heat = {"evidence": "heat"} if refiner == "adaptive-background" else {}
    step = make_step(CATALOG, "prompt", refiner, by_heat)
    stopped = 0
    for first, last in zip(
        results(f"maxmin+{refiner}", 1), results(f"maxmin+{refiner}", LONG), strict=True
    ):
        if len(clicks(first.prompts[0], last.prompts[0])) < LONG - 1:
            doors = {"image": last.image, "ask": None} if by_heat else {}
            assert step.refine(last.prompts, last.masks, last.heatmaps[0], **doors) is None
            stopped += 1
    assert stopped


@pytest.mark.parametrize("first", ["maxmin", "components", "box"])
def test_cascade_asks_once_more_with_the_first_answer(first):
    for result, place, one, two in pairs(f"{first}+cascade", 1, 2):
        (own,) = np.flatnonzero(result.masks.prompt == place)
        assert one.mask is None
        assert np.array_equal(two.mask, result.masks.logits[own])
        assert clicks(one, two) == []
    for result, place, two, last in pairs(f"{first}+cascade", 2, MANY):
        assert np.array_equal(two.mask, last.mask)
        assert place < len(result.masks)
    for two, last in zip(
        results(f"{first}+cascade", 2), results(f"{first}+cascade", MANY), strict=True
    ):
        assert np.array_equal(two.masks.masks, last.masks.masks)


def test_cascade_leaves_a_mask_prompt_alone():
    for _, _, one, two in pairs("mask+cascade", 1, 3):
        assert np.array_equal(one.mask, two.mask)


def test_several_second_looks_go_together():
    for _, _, one, two in pairs("maxmin+disagreement+cascade", 1, 3):
        assert two.mask is not None
        assert len(clicks(one, two)) <= 2
