"""Intervals and permutation tests against scipy's, where theory knows the answer."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from toys import Right

from segkit.comparing.statistics import (
    DRAWS,
    Bootstrap,
    estimates,
    interval,
    mean_estimate,
    permutation_p,
    resamples,
)


def images(values):
    return [SimpleNamespace(counts={"right": {"right": v, "images": 1}}) for v in values]


def test_draws_are_of_the_images_and_of_the_seed():
    drawn = resamples(7, 3)
    assert drawn.shape == (DRAWS, 7)
    assert (drawn.sum(axis=1) == 7).all()
    assert np.array_equal(drawn, resamples(7, 3))
    assert not np.array_equal(drawn, resamples(7, 4))
    assert resamples(0, 0).shape == (DRAWS, 0)


@pytest.mark.parametrize("count", [5, 10, 40])
def test_the_interval_of_a_mean_is_as_wide_as_students(count):
    """Hesterberg's wider percentiles make up for the bootstrap's too small spread of few images."""
    values = stats.norm.ppf((np.arange(count) + 0.5) / count)
    spread = values.std(ddof=1) / math.sqrt(count)
    low, high = stats.t.interval(0.95, count - 1, loc=0, scale=spread)
    # The draws' own distribution where it is normal, in place of 2,000 random ones.
    narrow = spread * math.sqrt((count - 1) / count)
    grid = stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000) * narrow
    assert interval(grid, count) == pytest.approx((low, high), rel=0.01)
    if count >= 10:  # of fewer values the draws are not normal
        found = mean_estimate(values.tolist(), 0)
        assert found.mean == pytest.approx(0, abs=1e-12)
        assert (found.low, found.high) == pytest.approx((low, high), rel=0.12)


def test_without_two_images_there_is_no_interval():
    for draws, count in ((np.ones(9), 1), (np.full(9, math.nan), 5), (np.array([]), 5)):
        assert all(map(math.isnan, interval(draws, count)))


def test_the_figures_are_the_metrics_and_recipes_share_their_draws():
    one = Bootstrap([Right()], images([0.2, 0.4, 0.9]), 0)
    assert one.figures == pytest.approx({"right": 0.5})
    other = Bootstrap([Right()], images([0.3, 0.5, 1.0]), 0)
    assert other.draws["right"] - one.draws["right"] == pytest.approx(0.1)
    found = estimates(one)["right"]
    assert found.mean == pytest.approx(0.5)
    assert found.low < 0.5 < found.high
    assert Bootstrap([Right()], [SimpleNamespace(counts={})], 0).figures == {}


def test_the_permutation_test_is_scipys():
    rng = np.random.default_rng(5)
    first = rng.uniform(size=12)
    second = first + rng.normal(0.05, 0.1, 12)
    recipes = [Bootstrap([Right()], images(values.tolist()), 0) for values in (first, second)]
    found = permutation_p(*recipes, "right", abs(float(first.mean() - second.mean())))
    exact = stats.permutation_test(
        (first, second),
        lambda a, b, axis: np.mean(a, axis=axis) - np.mean(b, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=2**12,
    )
    assert found == pytest.approx(exact.pvalue, abs=0.03)


def test_recipes_that_are_alike_do_not_differ():
    one = Bootstrap([Right()], images([0.2, 0.4, 0.9]), 0)
    assert permutation_p(one, one, "right", 0.0) == 1
