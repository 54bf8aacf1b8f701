"""Masks as polygons, filled again by two readers."""

from __future__ import annotations

import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from writer_toys import blobs, iou

from segkit_plugins.writer._contours import one_polygon, polygons

cv2 = pytest.importorskip("cv2")
CORNERS = np.ones((3, 3))


def filled(shapes, size):
    """By OpenCV."""
    mask = np.zeros(size, bool)
    for shape in shapes:
        one = np.zeros(size, np.uint8)
        cv2.fillPoly(one, [shape.astype(np.int32)], 1)
        mask |= one.astype(bool)
    return mask


def filled_by_pillow(shapes, size):
    mask = np.zeros(size, bool)
    for shape in shapes:
        one = PIL.Image.new("1", size[::-1])
        PIL.ImageDraw.Draw(one).polygon([tuple(v) for v in shape.tolist()], fill=1, outline=1)
        mask |= np.asarray(one)
    return mask


def test_a_square_and_its_hole_by_hand():
    mask = np.zeros((6, 7), bool)
    mask[1:5, 2:6] = True
    (square,) = polygons(mask)
    assert sorted(map(tuple, square.tolist())) == [(2, 1), (2, 4), (5, 1), (5, 4)]
    mask[2, 4] = False
    (cut,) = polygons(mask)
    ring = {(3, 2), (4, 1), (5, 2), (4, 3)}
    assert ring | {(2, 1), (2, 4), (5, 1), (5, 4)} <= set(map(tuple, cut.tolist()))


@pytest.mark.parametrize(
    ("rows", "vertices"),
    [
        (["1"], [[0, 0]] * 3),
        (["111"], [[0, 0], [2, 0], [2, 0]]),
        (["010", "000"], [[1, 0]] * 3),
    ],
)
def test_a_pixel_and_a_line_have_three_vertices(rows, vertices):
    mask = np.array([[c == "1" for c in row] for row in rows])
    (polygon,) = polygons(mask)
    assert sorted(polygon.tolist()) == vertices


def test_no_pixel_no_polygon():
    assert polygons(np.zeros((4, 5), bool)) == []


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([0, 0.7, 1.5, 3]),
    st.integers(0, 10**6),
)
def test_nothing_is_lost(height, width, softness, seed):
    """Any mask, with parts, holes, and parts in holes, comes back pixel for pixel."""
    noise = np.random.default_rng(seed).normal(size=(height, width))
    mask = ndimage.gaussian_filter(noise, softness) > 0
    shapes = polygons(mask)
    assert len(shapes) == ndimage.label(mask, CORNERS)[1]
    assert all(len(shape) >= 3 for shape in shapes)
    assert np.array_equal(filled(shapes, mask.shape), mask)
    assert np.array_equal(filled_by_pillow(shapes, mask.shape), mask)


def test_parts_are_tied_where_they_are_nearest():
    mask = np.zeros((30, 60), bool)
    mask[5:25, 2:20] = True
    mask[10:12, 25:50] = True
    mask[20:29, 40:55] = True
    mask[10:15, 5:10] = False
    whole = one_polygon(polygons(mask))
    back = filled([whole], mask.shape)
    added = back & ~mask
    assert not (mask & ~back).any()
    assert ndimage.label(back, CORNERS)[1] == 1
    assert added[10:12].sum() == 5  # from column 20 to 24, in one row
    assert added.sum() == 5 + 8  # and from row 12 to 19, between the other two
    assert np.array_equal(one_polygon(polygons(mask[:, :20])), polygons(mask[:, :20])[0])


def test_tolerance_saves_vertices_and_costs_little():
    for mask in blobs(6):
        exact, rough = polygons(mask), polygons(mask, 1.0)
        assert sum(map(len, rough)) < sum(map(len, exact)) / 2
        assert iou(filled(rough, mask.shape), mask) > 0.9
        away = ndimage.distance_transform_edt(~mask)[filled(rough, mask.shape) & ~mask]
        assert away.max(initial=0) <= 1.5
