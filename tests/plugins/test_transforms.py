"""gaussian, power and threshold."""

from __future__ import annotations

import numpy as np
import pytest

from segkit import Catalog, Heatmap
from segkit.running.recipe import make_step

CATALOG = Catalog(third_party=False)


def made(name, values, **options):
    step = make_step(CATALOG, "transform", name, options)
    return step(heatmap=Heatmap(np.asarray(values, np.float32), "cat", 0.7))


@pytest.mark.parametrize("name", ["gaussian", "power", "threshold"])
@pytest.mark.parametrize("size", [(1, 1), (1, 6), (9, 5)])
def test_no_heat_stays_none_and_constants_stay_constant(name, size):
    assert not made(name, np.zeros(size)).values.any()
    found = made(name, np.full(size, 0.5))
    assert np.ptp(found.values) < 1e-6
    assert found.values.max() > 0
    assert (found.name, found.score) == ("cat", 0.7)


def test_gaussian_is_the_sum_over_its_kernel():
    rng = np.random.default_rng(0)
    values = rng.random((24, 31)).astype(np.float32)
    offsets = np.arange(-8, 9)
    kernel = np.exp(-(offsets**2) / (2 * 2.0**2))
    kernel /= kernel.sum()
    padded = np.pad(values, 8, mode="edge")
    wanted = np.zeros_like(values)
    for i, a in enumerate(kernel):
        for j, b in enumerate(kernel):
            wanted += a * b * padded[i : i + 24, j : j + 31]
    found = made("gaussian", values, sigma=2).values
    assert np.abs(found - wanted / wanted.max()).max() < 1e-5
    assert found.max() == 1


def test_power_and_threshold():
    values = [[0, 0.2, 0.4, 0.8]]
    assert made("power", values, gamma=2).values == pytest.approx(
        np.array([[0, 0.0625, 0.25, 1]]), abs=1e-6
    )
    assert made("threshold", values, level=0.5).values == pytest.approx(
        np.array([[0, 0, 0.4, 0.8]])
    )
    assert made("threshold", values, level=0.5, binary=True).values.tolist() == [[0, 0, 1, 1]]
    assert made("threshold", values, level=0).values == pytest.approx(np.array(values))
