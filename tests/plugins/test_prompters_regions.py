"""Regions: parts, middles and boxes against the slow way; speckled heatmaps cost little memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segkit import Catalog, Heatmap, Masks, Prompt, Prompts
from segkit.running.recipe import make_step
from segkit_plugins.prompt._regions import cold, depth, hot, middle, parts, tight_box

CATALOG = Catalog(third_party=False)
REGION = arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))
quick = settings(deadline=None, max_examples=150)


def flooded(region):
    """The connected parts (8 neighbours) as sets of (y, x), in the order of their first pixel."""
    left = {(int(y), int(x)) for y, x in np.argwhere(region)}
    found = []
    while left:
        todo = [min(left)]
        left -= {todo[0]}
        part = set()
        while todo:
            y, x = todo.pop()
            part.add((y, x))
            near = {(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            todo += near
        found.append(part)
    return found


def pixels(region):
    return {(int(y), int(x)) for y, x in np.argwhere(region)}


@given(region=REGION, most=st.integers(1, 5), least=st.integers(1, 4))
@quick
def test_parts_are_the_largest_connected_ones(region, most, least):
    wanted = [p for p in sorted(flooded(region), key=len, reverse=True) if len(p) >= least]
    assert [pixels(part) for part in parts(region, most, least)] == wanted[:most]


@given(region=REGION.filter(np.any))
@quick
def test_the_middle_is_the_pixel_farthest_from_outside(region):
    outside = [tuple(p) for p in np.argwhere(~np.pad(region, 1)) - 1]
    away = {p: min(np.hypot(p[0] - y, p[1] - x) for y, x in outside) for p in pixels(region)}
    x, y = middle(region)
    assert away[int(y), int(x)] == pytest.approx(max(away.values()))
    assert depth(region)[int(y), int(x)] == pytest.approx(max(away.values()))


@given(region=REGION.filter(np.any), margin=st.floats(-0.45, 1))
@quick
def test_a_box_holds_the_region_and_stays_inside(region, margin):
    ys, xs = np.nonzero(region)
    assert tight_box(region) == (xs.min(), ys.min(), xs.max(), ys.max())
    x0, y0, x1, y1 = tight_box(region, margin)
    assert 0 <= x0 <= x1 <= region.shape[1] - 1
    assert 0 <= y0 <= y1 <= region.shape[0] - 1
    if margin >= 0:
        assert x0 <= xs.min() <= xs.max() <= x1
        assert y0 <= ys.min() <= ys.max() <= y1


@given(values=arrays(np.float32, (4, 5), elements=st.floats(0, 1, width=32)), level=st.floats(0, 1))
@quick
def test_every_pixel_is_hot_or_cold_and_the_brightest_is_hot(values, level):
    warm = hot(values, level)
    assert (warm ^ cold(values, level)).all()
    assert warm[values == values.max()].all() == values.any()
    assert not warm[values == 0].any()


@pytest.mark.parametrize("margin", [-0.45, -0.1, 0, 1])
@pytest.mark.parametrize("size", [(1, 1), (7, 9)])
def test_the_box_of_one_hot_pixel_is_that_pixel_or_around_it(size, margin):
    values = np.zeros(size, np.float32)
    values[size[0] // 2, size[1] // 2] = 1
    step = make_step(CATALOG, "prompt", "box", {"margin": margin})
    (prompt,) = step(heatmap=Heatmap(values))
    x0, y0, x1, y1 = prompt.box.tolist()
    assert x0 <= size[1] // 2 <= x1
    assert y0 <= size[0] // 2 <= y1
    assert (x1 - x0) <= 2


SPECKLED = np.random.default_rng(0).random((300, 300)).astype(np.float32)


def peak_memory(work):
    work()  # imports count once
    tracemalloc.start()
    try:
        made = work()
        return made, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "options"),
    [("box", {"level": 0.95}), ("components", {"level": 0.95, "min_area": 0, "most": 5})],
)
def test_thousands_of_specks_cost_little_memory(name, options):
    assert len(flooded(hot(SPECKLED, 0.95))) > 2000
    step = make_step(CATALOG, "prompt", name, options)
    made, peak = peak_memory(lambda: step(heatmap=Heatmap(SPECKLED)))
    assert len(made) == (1 if name == "box" else 5)
    assert peak < 60 * SPECKLED.size


@pytest.mark.parametrize(
    ("name", "options"), [("adaptive-background", {"evidence": "heat"}), ("disagreement", {})]
)
def test_thousands_of_leaks_cost_little_memory(name, options):
    values = np.where(SPECKLED > 0.5, np.float32(1), np.float32(0))
    masks = Masks(SPECKLED[None] < 0.04, [0.9], [0])
    step = make_step(CATALOG, "prompt", name, {"least": 0, **options})
    asked = {"masks": masks, "heatmap": Heatmap(values), "prompts": Prompts((Prompt([(9, 9)]),))}
    if options:
        asked |= {"image": None, "ask": None}  # nobody looks at them
    made, peak = peak_memory(lambda: step.refine(**asked))
    assert len(made[0].points) == 2
    assert peak < 60 * SPECKLED.size


def test_a_thousand_points_along_a_skeleton_differ():
    step = make_step(CATALOG, "prompt", "skeleton", {"k": 1000, "level": 0.9})
    (prompt,) = step(heatmap=Heatmap(SPECKLED))
    assert len(np.unique(prompt.points, axis=0)) == 1000
