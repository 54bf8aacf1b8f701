"""Truths, labels and masks written by hand, and a metric's figures for them."""

from __future__ import annotations

import numpy as np

from segkit import Heatmap, Labels, Prompts, Truth

VOID = 255
CLASSES = {1: "cat", 2: "dog"}


def truth(ids, classes=CLASSES):
    return Truth(Labels(np.array(ids, np.int32), classes))


def score(metric, *counted):
    """The figures for several images' counts, added as a run adds them."""
    total: dict[str, float] = {}
    for counts in counted:
        for key, value in counts.items():
            total[key] = total.get(key, 0) + value
    return metric.score(total)


# ---- hit-rate ---------------------------------------------------------------------------------

SCENE = [
    [0, 0, 0, 0, VOID],
    [0, 1, 1, 0, VOID],
    [0, 0, 0, 2, 2],
]


def prompts(*items):
    return Prompts(tuple(items))


# ---- pointing-game ----------------------------------------------------------------------------


def heatmap(brightest, name=None, size=(3, 5)):
    values = np.full(size, 0.25, np.float32)
    if brightest is not None:
        values[brightest[1], brightest[0]] = 1
    return Heatmap(values, name)
