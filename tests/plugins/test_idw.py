"""idw against a double loop, and what it makes of odd heatmaps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segkit import Heatmap, UsageError
from segkit_plugins.transform.idw import DIRECT_UP_TO, InverseDistance


def spread(values, radius, epsilon):
    """H + H ∗ K by the definition, pixel by pixel, divided by its maximum."""
    height, width = values.shape
    result = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            total = float(values[y, x])
            for i in range(-radius, radius + 1):
                for j in range(-radius, radius + 1):
                    if 0 <= y + i < height and 0 <= x + j < width:
                        total += values[y + i, x + j] / math.sqrt(i * i + j * j + epsilon)
            result[y, x] = total
    return result / result.max() if result.max() > 0 else result


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (6, 4), (13, 17), (24, 31)])
@pytest.mark.parametrize(
    ("radius", "epsilon"), [(0, 1.0), (1, 1.0), (2, 1.0), (5, 1.0), (5, 0.01), (3, 7.5), (30, 1.0)]
)
def test_it_equals_the_double_loop(size, radius, epsilon):
    values = np.random.default_rng(radius).random(size).astype(np.float32)
    found = InverseDistance(radius=radius, epsilon=epsilon)(Heatmap(values))
    assert np.abs(found.values - spread(values, radius, epsilon)).max() < 2e-6


def test_a_radius_far_beyond_the_image_is_one_that_reaches_all_of_it():
    values = np.random.default_rng(0).random((20, 30)).astype(np.float32)
    far = InverseDistance(radius=10**15)(Heatmap(values))
    assert np.abs(far.values - spread(values, 30, 1.0)).max() < 2e-6


def test_the_defaults_are_radius_5_and_epsilon_1():
    values = np.zeros((15, 15), np.float32)
    values[7, 7] = 1
    found = InverseDistance()(Heatmap(values)).values
    # The peak is 1 + 1/√1 = 2; 3 right and 4 down of it is 1/√(9+16+1); 6 away is nothing.
    assert found[7, 7] == 1
    assert found[11, 10] == pytest.approx(1 / math.sqrt(26) / 2, abs=1e-6)
    assert found[7, 1] == pytest.approx(0, abs=1e-6)


def test_both_ways_of_computing_agree(monkeypatch):
    values = np.random.default_rng(0).random((40, 50)).astype(np.float32)
    for radius in (1, 2, 6):
        results = []
        for limit in (0, 99):
            monkeypatch.setattr("segkit_plugins.transform.idw.DIRECT_UP_TO", limit)
            results.append(InverseDistance(radius=radius)(Heatmap(values)).values)
        assert not np.array_equal(*results)  # two ways indeed
        assert np.abs(results[0] - results[1]).max() < 2e-6
    assert DIRECT_UP_TO == 1


@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 12), st.integers(1, 12)),
        elements=st.floats(0, 1, width=32),
    ),
    st.integers(0, 8),
)
@settings(deadline=None, max_examples=60)
def test_the_result_is_a_heatmap_with_maximum_one_or_all_zero(values, radius):
    before = values.copy()
    found = InverseDistance(radius=radius)(Heatmap(values, "cat", 0.4))
    assert np.array_equal(values, before)
    assert (found.name, found.score) == ("cat", 0.4)
    assert found.values.shape == values.shape
    assert found.values.max() == (1 if values.any() else 0)


def test_an_all_zero_heatmap_stays_all_zero():
    found = InverseDistance()(Heatmap(np.zeros((20, 30), np.float32)))
    assert found.values.shape == (20, 30)
    assert not found.values.any()


def test_a_constant_heatmap_is_brightest_in_the_middle_for_there_is_no_heat_outside():
    found = InverseDistance()(Heatmap(np.full((41, 41), 0.5, np.float32))).values
    assert found[20, 20] == pytest.approx(1, abs=1e-6)
    assert found[0, 0] == found.min() < 0.6


def test_broad_warmth_beats_a_thin_peak():
    values = np.zeros((40, 40), np.float32)
    values[5, 5] = 1
    values[25:32, 25:32] = 0.6
    y, x = divmod(int(InverseDistance()(Heatmap(values)).values.argmax()), 40)
    assert (y, x) == (28, 28)


@pytest.mark.parametrize("wrong", [{"radius": -1}, {"epsilon": 0}, {"epsilon": -1}, {"r": 3}])
def test_wrong_options_are_refused(wrong):
    with pytest.raises(UsageError):
        InverseDistance(**wrong)
