"""How pictures are drawn: colours of heat and classes, outlines, points, panels side by side."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segkit import palette
from segkit_plugins.shared import pictures
from segkit_plugins.shared.pictures import Panel, Scale, class_colour, heat_colours, outline

GAP, CAPTION = 10, 24

# ---- the drawing itself -----------------------------------------------------------------------


def test_heat_colours_are_turbo():
    matplotlib = pytest.importorskip("matplotlib")
    values = np.linspace(0, 1, 256)[None]
    expected = matplotlib.colormaps["turbo"](values)[..., :3] * 255
    found = heat_colours(values).astype(float)
    assert np.abs(found - expected).max() < 12
    assert np.array_equal(found[0, [0, -1]], np.rint(expected[0, [0, -1]]))


def test_a_class_has_the_colour_of_the_palette_and_void_is_grey():
    assert [class_colour(i) for i in range(1, 255)] == [tuple(c) for c in palette()[1:255].tolist()]
    assert class_colour(255) == (128, 128, 128)


def test_a_white_line_sets_dark_classes_off_but_not_void():
    ids = np.zeros((20, 40), int)
    ids[5:15, 5:15], ids[5:15, 25:35] = 64, 255
    shown = pictures.tinted(np.zeros((20, 40, 3), np.uint8), ids, outline(ids))
    white = (shown == 255).all(axis=2)
    assert white[4, 5:15].all()
    assert white[5:15, 15].all()
    assert white.sum() == 40  # once around the class
    assert (shown[5, 5:15] == palette()[64]).all()  # its own outline lies within


def test_outline_by_hand():
    ids = np.zeros((5, 6), int)
    ids[1:4, 1:4] = 1
    ids[1:4, 4] = 2
    assert outline(ids, 1).astype(int).tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 0],
        [0, 1, 0, 1, 1, 0],
        [0, 1, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    assert not outline(np.ones((4, 4), int)).any()  # the image's border is no edge


@given(st.integers(1, 300), st.integers(1, 300), st.integers(32, 600), st.integers(0, 10**6))
def test_points_and_pixels_scale_alike(height, width, panel, seed):
    """A pixel and the point at its centre end in the same place of the panel."""
    scale = Scale((height, width), panel)
    rng = np.random.default_rng(seed)
    row, column = int(rng.integers(height)), int(rng.integers(width))
    ids = np.arange(height * width).reshape(height, width)
    x, y = scale.points(np.array([[column, row]]))[0]
    assert -0.5 <= x <= scale.size[1] - 0.5
    assert -0.5 <= y <= scale.size[0] - 0.5
    shown = scale.labels(ids)[
        min(int(np.rint(y).clip(0)), scale.size[0] - 1),
        min(int(np.rint(x).clip(0)), scale.size[1] - 1),
    ]
    reach = 0.5 / scale.factors + 0.5  # half a panel's pixel, in the image's, and rounding
    assert abs(shown // width - row) <= reach[1]
    assert abs(shown % width - column) <= reach[0]
    assert scale.photo(np.zeros((height, width, 3), np.uint8)).shape == (*scale.size, 3)
    assert scale.heat(np.ones((height, width), np.float32)).min() == 1


def test_a_strip_is_as_wide_as_its_panels():
    small, large = np.zeros((20, 30, 3), np.uint8), np.zeros((50, 300, 3), np.uint8)
    strip = pictures.side_by_side([Panel("a", small), Panel("b", large, {1: "cat"})])
    assert strip.size == (200 + 300 + 3 * GAP, 50 + CAPTION + 2 * GAP)


def test_a_large_id_takes_no_memory_for_those_below_it():
    import tracemalloc

    ids = np.zeros((20, 40), np.int32)
    ids[5:9, 5:9], ids[12:15, 5:9] = 20_000_000, 3
    tracemalloc.start()
    assert pictures._present(ids) == [3, 20_000_000]
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1 << 20
