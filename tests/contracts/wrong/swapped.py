"""Clicks on the brightest pixel, with x and y swapped."""

from __future__ import annotations

from segkit import Heatmap, Prompt, Prompter, Prompts, hookimpl


class Swapped(Prompter):
    """Clicks on the brightest pixel, with x and y swapped."""

    name = "swapped"

    def __call__(self, heatmap: Heatmap) -> Prompts:
        y, x = divmod(int(heatmap.values.argmax()), heatmap.values.shape[1])
        return Prompts((Prompt(points=[(y, x)]),))


@hookimpl
def segkit_prompters():
    return [Swapped]
