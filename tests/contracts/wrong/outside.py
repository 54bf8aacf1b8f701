"""Clicks one pixel to the right of the image."""

from __future__ import annotations

from segkit import Heatmap, Prompt, Prompter, Prompts, hookimpl


class Outside(Prompter):
    """Clicks one pixel to the right of the image."""

    name = "outside"

    def __call__(self, heatmap: Heatmap) -> Prompts:
        return Prompts((Prompt(points=[(heatmap.values.shape[1], 0)]),))


@hookimpl
def segkit_prompters():
    return [Outside]
