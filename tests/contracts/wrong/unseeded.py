"""Clicks on a random pixel, with a generator of its own."""

from __future__ import annotations

import numpy as np

from segkit import Heatmap, Prompt, Prompter, Prompts, hookimpl


class Unseeded(Prompter):
    """Clicks on a random pixel, with a generator of its own."""

    name = "unseeded"

    def __call__(self, heatmap: Heatmap) -> Prompts:
        place = np.random.default_rng().integers(heatmap.values.size)
        y, x = divmod(int(place), heatmap.values.shape[1])
        return Prompts((Prompt(points=[(x, y)]),))


@hookimpl
def segkit_prompters():
    return [Unseeded]
