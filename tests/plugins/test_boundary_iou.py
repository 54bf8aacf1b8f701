"""Boundary IoU against erosions done one by one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from segkit import Catalog, Labels, Truth
from segkit.running.recipe import make_step

METRIC = make_step(Catalog(third_party=False), "metric", "boundary-iou", {})


def counted(found, true, width=0.02):
    step = METRIC.model_copy(update={"width": width})
    return step.count(truth=Truth(Labels(true)), labels=Labels(found))


def eroded_band(mask, steps):
    inner = ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=steps, border_value=0)
    return mask & ~inner


@pytest.mark.parametrize("seed", range(8))
def test_it_equals_erosions(seed):
    rng = np.random.default_rng(seed)
    size = tuple(rng.integers(20, 120, 2))
    fields = [ndimage.gaussian_filter(rng.normal(size=size), 4) for _ in range(2)]
    found, true = (f > 0.02 for f in fields)
    width = float(rng.uniform(0.01, 0.1))
    steps = max(1, round(width * np.hypot(*size)))
    one, other = eroded_band(found, steps), eroded_band(true, steps)
    wanted = (one & other).sum() / (one | other).sum()
    counts = counted(found.astype(int), true.astype(int), width)
    assert counts == {"boundary-iou": pytest.approx(wanted), "images": 1}


def test_edges_of_the_scale():
    true = np.zeros((40, 40), int)
    true[10:30, 10:30] = 1
    assert counted(true, true)["boundary-iou"] == 1
    assert counted(true * 0, true)["boundary-iou"] == 0
    assert counted(true * 0, true * 0) == {"boundary-iou": 1, "images": 1}
    assert counted(true, true * 0 + 255) == {"boundary-iou": 0, "images": 0}
    void = true.copy()
    void[:20] = 255
    assert counted(true, void)["boundary-iou"] == 1
    assert METRIC.score({"boundary-iou": 1.5, "images": 2}) == {"boundary-iou": 0.75}
    assert METRIC.score({"boundary-iou": 0, "images": 0}) == {}
