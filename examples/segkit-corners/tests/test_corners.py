"""segkit's tests for every prompt plugin, and the corners of regions that one can check by eye."""

import numpy as np
import pytest
from segkit import Catalog, Heatmap, UsageError
from segkit.testing import Conformance

from segkit_corners import Corners


class TestCorners(Conformance):
    """What every prompt plugin has to do."""

    plugin = Corners
    options = [{}, {"share": 0.4}]


def points(rows: list[str], share: float = 0.8) -> list[list[tuple[int, int]]]:
    """The points that `corners` makes of a heatmap drawn in digits, 9 being the hottest."""
    digits = np.array([[int(digit) for digit in row] for row in rows])
    values = (digits / 9).astype(np.float32)
    return [
        [(int(x), int(y)) for x, y in prompt.points]
        for prompt in Corners(share=share)(Heatmap(values))
    ]


def test_a_block_has_four_corners() -> None:
    rows = ["000000", "099990", "099990", "000000"]
    assert points(rows) == [[(1, 1), (4, 1), (1, 2), (4, 2)]]


def test_a_diamond_shares_some_corners() -> None:
    rows = ["00900", "09990", "99999", "09990", "00900"]
    assert points(rows) == [[(2, 0), (0, 2), (4, 2)]]


def test_one_pixel_is_one_point() -> None:
    assert points(["000", "009", "000"]) == [[(2, 1)]]


def test_share_decides_what_is_hot() -> None:
    rows = ["5000", "0990", "0000"]
    assert points(rows, share=1.0) == [[(1, 1), (2, 1)]]
    assert points(rows, share=0.5) == [[(0, 0), (2, 1), (1, 1)]]  # of equals the hottest


def test_a_flat_heatmap_is_hot_to_its_corners() -> None:
    assert points(["444", "444"]) == [[(0, 0), (2, 0), (0, 1), (2, 1)]]


def test_nothing_hot_is_no_prompt() -> None:
    assert points(["000", "000"]) == []


@pytest.mark.parametrize("share", [0, -0.1, 1.1])
def test_a_share_outside_its_range_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match=r"share"):
        Corners(share=share)


def test_segkit_finds_it_by_its_entry_point() -> None:
    assert Catalog().load("prompt", "segkit-corners:corners") is Corners
