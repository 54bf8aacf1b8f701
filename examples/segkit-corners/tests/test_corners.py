"""The corners of hot regions that are small enough to check by eye."""

import numpy as np
import pytest
from pydantic import ValidationError
from segkit_corners import Corners

from segkit import Catalog, Heatmap


def points(rows, **options):
    """The points that `corners` makes of a heatmap drawn in digits, 9 being the hottest."""
    values = np.array([[int(digit) for digit in row] for row in rows], np.float32) / 9
    return [
        [(int(x), int(y)) for x, y in prompt.points]
        for prompt in Corners(**options)(Heatmap(values))
    ]


def test_a_block_has_four_corners():
    rows = ["000000", "099990", "099990", "000000"]
    assert points(rows) == [[(1, 1), (4, 1), (1, 2), (4, 2)]]


def test_a_diamond_shares_some_corners():
    rows = ["00900", "09990", "99999", "09990", "00900"]
    assert points(rows) == [[(2, 0), (0, 2), (4, 2)]]


def test_one_pixel_is_one_point():
    assert points(["000", "009", "000"]) == [[(2, 1)]]


def test_share_decides_what_is_hot():
    rows = ["5000", "0990", "0000"]
    assert points(rows, share=1.0) == [[(1, 1), (2, 1)]]
    assert points(rows, share=0.5) == [[(0, 0), (2, 1)]]


def test_a_flat_heatmap_is_hot_to_its_corners():
    assert points(["444", "444"]) == [[(0, 0), (2, 0), (0, 1), (2, 1)]]


def test_nothing_hot_is_no_prompt():
    assert points(["000", "000"]) == []


@pytest.mark.parametrize("share", [0, -0.1, 1.1])
def test_a_share_outside_its_range_is_refused(share):
    with pytest.raises(ValidationError, match=r"share"):
        Corners(share=share)


def test_segkit_finds_it_by_its_entry_point():
    assert Catalog().load("prompt", "segkit-corners:corners") is Corners
