"""Background points where a mask leaks: on generated pictures, asked of the bundled `nano`."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segkit import Catalog, Heatmap, Image, Masks, Pipeline, Prompt, Prompts
from segkit.running.recipe import make_step
from segkit_plugins.prompt._leaks import (
    gradient_of,
    leak_of,
    left_out,
    smaller_answers,
    strategies,
    without,
)

CATALOG = Catalog(third_party=False)
SIZE = (120, 180)
Y, X = np.mgrid[: SIZE[0], : SIZE[1]]
DISC = np.hypot(X - 60, Y - 60) < 34
SLAB = (abs(Y - 60) < 40) & (X > 60) & (X < 165) & ~DISC
"""Of the background beside the disc: what the mask leaks into."""
MASKS = arrays(bool, (8, 9))
quick = settings(deadline=None, max_examples=100)


def picture():
    """A red disc on green, with a little noise."""
    pixels = np.where(DISC[..., None], (200.0, 40, 40), (40, 110, 60))
    noise = np.random.default_rng(0).normal(0, 4, pixels.shape)
    return Image(np.clip(pixels + noise, 0, 255).astype(np.uint8), "disc")


def heat(x=60, y=60, sigma=14.0):
    return Heatmap(np.exp(-((X - x) ** 2 + (Y - y) ** 2) / (2 * sigma**2)).astype(np.float32))


@lru_cache
def opened(kind, name):
    step = make_step(CATALOG, kind, name, {})
    step.open("cpu")
    return step


@lru_cache
def encoded():
    return opened("segmenter", "sam").encode(picture())


def asking(judged, asked=None, first=None):
    """What a run hands to `refine`: `nano`'s candidates, judged or not; notes what is asked.

    `first` (H, W) is in place of its first candidate.
    """

    def ask(prompts):
        if asked is not None:
            asked.append(prompts)
        masks = opened("segmenter", "sam")(picture(), prompts, encoded())
        if first is not None:
            drawn = masks.masks.copy()
            drawn[0] = first
            masks = replace(masks, masks=drawn)
        return opened("judge", "learned")(picture(), masks) if judged else masks

    return ask


def refined(mask, judged, prompt=None, heatmap=None, asked=None, **options):
    step = make_step(CATALOG, "prompt", "adaptive-background", options)
    prompts = Prompts((prompt or Prompt(points=[(60, 60)]),))
    return step.refine(
        prompts,
        Masks(mask[None], [0.9], [0]),
        heatmap or heat(),
        picture(),
        asking(judged, asked, mask),
    )


@pytest.mark.parametrize("judged", [False, True])
def test_a_leak_gets_its_background_point(judged):
    (prompt,) = refined(DISC | SLAB, judged)
    assert prompt.points[0].tolist() == [60, 60]
    assert prompt.signs.tolist() == [True, False]
    x, y = prompt.points[1].astype(int)
    assert SLAB[y, x]


def test_with_a_judge_the_second_look_is_the_object():
    (prompt,) = refined(DISC | SLAB, True)
    x0, y0, x1, y1 = prompt.box
    assert (x0, y0) >= (24, 24)
    assert (x1, y1) <= (100, 98)
    (answer,) = asking(False)(Prompts((prompt,))).masks
    assert (answer & DISC).sum() / (answer | DISC).sum() > 0.9


@pytest.mark.parametrize("judged", [False, True])
def test_a_cold_part_of_the_object_gets_none(judged):
    # The heat is at the disc's left rim; the right half is far below a tenth of its maximum.
    rim = heat(36, 60, 8)
    assert rim.values[DISC].min() < 0.01
    prompt = Prompt(points=[(36, 60)])
    assert refined(DISC, judged, prompt, rim) is None
    (by_heat,) = refined(DISC, judged, prompt, rim, evidence="heat")
    x, y = by_heat.points[1].astype(int)
    assert DISC[y, x]  # what the reports' rule does


@pytest.mark.parametrize("judged", [False, True])
def test_what_does_not_leak_stays_as_it_was(judged):
    assert refined(DISC, judged) is None
    assert refined(np.zeros(SIZE, bool), judged) is None
    assert refined(DISC | SLAB, judged, heatmap=Heatmap(np.zeros(SIZE, np.float32))) is None


def test_options_hold_it_back():
    assert refined(DISC | SLAB, True, margin=1.0) is None
    assert refined(DISC | SLAB, False, contrast=1e6) is None
    assert refined(DISC | SLAB, False, least=0.9) is None


def test_a_leak_that_has_its_point_gets_no_other():
    (prompt,) = refined(DISC | SLAB, False)
    again = refined(DISC | SLAB, False, prompt)
    assert again is None or len(np.unique(again[0].points, axis=0)) == len(again[0].points)


def test_the_strategies_are_asked_with_the_prompt_and_nothing_more_where_nothing_leaks():
    asked = []
    refined(DISC, True, asked=asked)
    (first,) = asked
    assert len(first) == 4
    assert first[1].box is not None
    assert first[2].points.tolist() == first[3].points.tolist()


def test_a_run_keeps_the_second_look_only_if_it_is_judged_better():
    shapes = make_step(CATALOG, "dataset", "shapes", {"count": 4, "seed": 10011, "size": 96})
    images = [shapes[i][0] for i in range(4)]
    chosen = {"options": {"gradcam.model": "shapes"}, "catalog": CATALOG}
    with Pipeline(prompt="maxmin", judge="learned", **chosen) as alone:
        first = list(alone.each(images))
    with Pipeline(
        prompt="maxmin+adaptive-background", judge="learned", rounds=2, **chosen
    ) as twice:
        for before, after in zip(first, twice.each(images), strict=True):
            if len(after.prompts[0].points) == len(before.prompts[0].points):
                assert (before.masks.masks == after.masks.masks).all()


# ---- the parts it is made of ------------------------------------------------------------------


def test_the_edge_of_a_leak_is_that_of_its_cut_over_that_of_its_outline():
    gradient = gradient_of(picture().pixels)
    prompt = Prompt(points=[(60, 60)])
    plain = leak_of(DISC | SLAB, SLAB, prompt, gradient, 0.05)
    assert plain.edge > 1
    assert (plain.region == SLAB).all()
    half = leak_of(DISC, DISC & (X > 62), prompt, gradient, 0.05)  # a cut where no edge is
    assert half.edge < 0.2
    assert leak_of(DISC, DISC & (X > 50), prompt, gradient, 0.05) is None  # holds the point
    assert leak_of(DISC | SLAB, SLAB, prompt, gradient, 0.9) is None


@given(MASKS, st.lists(MASKS, max_size=4))
@quick
def test_what_others_leave_out_lies_in_the_mask_and_comes_once(mask, others):
    regions = left_out(mask, others)
    assert all((region <= mask).all() for region in regions)
    assert len({region.tobytes() for region in regions}) == len(regions)
    assert all(any((mask & ~other == region).all() for region in regions) for other in others)


@given(MASKS, st.lists(MASKS, max_size=4))
@quick
def test_smaller_answers_lie_in_the_mask(mask, candidates):
    for answer in smaller_answers(mask, candidates):
        assert 0 < answer.sum() < 0.95 * mask.sum()
        assert (answer & mask).sum() >= 0.8 * answer.sum()


def test_logits_speak_against_the_leak_alone():
    logits = np.random.default_rng(0).normal(size=(30, 45)).astype(np.float32)
    turned = without(logits, SLAB)
    small = SLAB[2::4, 2::4]
    assert (turned[small] == -np.abs(logits[small])).all()
    assert (turned[~small] == logits[~small]).all()


def test_there_is_no_strategy_without_heat():
    assert strategies(np.zeros(SIZE, np.float32)) == []
    box, point, wide = strategies(heat().values)
    assert replace(wide, box=None).points.tolist() == point.points.tolist() == [[60, 60]]
    assert wide.box[0] < box.box[0]
