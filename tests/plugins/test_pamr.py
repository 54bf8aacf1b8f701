"""PAMR against its equations, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from segkit import Catalog, Heatmap, Image
from segkit.running.recipe import make_step

CATALOG = Catalog(third_party=False)


def pamr(**options):
    return make_step(CATALOG, "transform", "pamr", options)


def picture(height, width, seed=0):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
    heat = rng.random((height, width), np.float32)
    return Image(pixels, "p"), Heatmap(heat, "cat", 0.7)


def by_hand(pixels, heat, dilations, iterations):
    """Equations 3 to 5, a pixel and a neighbour at a time."""
    height, width = heat.shape
    colours = pixels.astype(np.float64) / 255
    around = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]

    def at(y, x):
        return min(max(y, 0), height - 1), min(max(x, 0), width - 1)

    weights, places = {}, {}
    for y in range(height):
        for x in range(width):
            own = [at(y + d * j, x + d * i) for d in dilations for j, i in around]
            spread = np.array([colours[place] for place in own]).std(axis=0, ddof=1)
            near = [
                at(y + d * j, x + d * i) for d in dilations for j, i in around if (j, i) != (0, 0)
            ]
            alike = [
                np.mean(-np.abs(colours[place] - colours[y, x]) / (1e-8 + 0.1 * spread))
                for place in near
            ]
            likely = np.exp(np.array(alike) - max(alike))
            weights[y, x], places[y, x] = likely / likely.sum(), near
    for _ in range(iterations):
        before = heat
        heat = np.array(
            [
                [
                    sum(w * before[p] for w, p in zip(weights[y, x], places[y, x], strict=True))
                    for x in range(width)
                ]
                for y in range(height)
            ]
        )
    return heat / heat.max()


@pytest.mark.parametrize(("dilations", "iterations"), [((1,), 1), ((1, 2, 4), 3), ((1, 12), 2)])
def test_it_equals_the_equations(dilations, iterations):
    image, heatmap = picture(9, 11)
    made = pamr(dilations=dilations, iterations=iterations)(heatmap=heatmap, image=image)
    wanted = by_hand(image.pixels, heatmap.values.astype(np.float64), dilations, iterations)
    assert np.abs(made.values - wanted).max() < 1e-4
    assert made.values.max() == 1
    assert (made.name, made.score) == ("cat", 0.7)


def test_heat_stops_at_an_edge():
    """Of two halves of a picture one is warm in its middle: it becomes warm all over, alone."""
    pixels = np.full((40, 60, 3), 30, np.uint8)
    pixels[:, 30:] = 200
    heat = np.zeros((40, 60), np.float32)
    heat[10:30, 8:34] = 1  # too far to the right, and not far enough up and down
    made = pamr()(heatmap=Heatmap(heat), image=Image(pixels, "halves")).values
    assert made[:, 2:29].min() > 0.4
    assert made[:, 31:].max() < 0.25


def test_large_pictures_are_refined_at_a_smaller_size():
    image, heatmap = picture(80, 120)
    own = {"dilations": (1, 2), "iterations": 2}
    made = pamr(**own, side=30)(heatmap=heatmap, image=image).values
    colours = torch.from_numpy(image.pixels.copy()).permute(2, 0, 1)[None]
    heat = torch.from_numpy(heatmap.values.copy())[None, None]
    small, warm = (
        F.interpolate(v, (20, 30), mode="bilinear", antialias=True) for v in (colours, heat)
    )
    shrunk = Image(small[0].permute(1, 2, 0).numpy(), "small")
    refined = pamr(**own)(heatmap=Heatmap(warm[0, 0].numpy()), image=shrunk).values
    wanted = F.interpolate(torch.from_numpy(refined.copy())[None, None], (80, 120), mode="bilinear")
    assert np.abs(made - wanted[0, 0].numpy() / wanted.max().item()).max() < 1e-4


def test_what_changes_nothing():
    image, heatmap = picture(5, 6)
    assert pamr(iterations=0)(heatmap=heatmap, image=image) is heatmap
    nothing = Heatmap(np.zeros((5, 6), np.float32))
    assert pamr()(heatmap=nothing, image=image) is nothing
