"""Clicks on the corner between pixels."""

from __future__ import annotations

from segkit import Heatmap, Prompt, Prompter, Prompts, hookimpl


class HalfAPixel(Prompter):
    """Clicks on the corner between pixels."""

    name = "half-a-pixel"

    def __call__(self, heatmap: Heatmap) -> Prompts:
        y, x = divmod(int(heatmap.values.argmax()), heatmap.values.shape[1])
        return Prompts((Prompt(points=[(x + 0.5, y + 0.5)]),))


@hookimpl
def segkit_prompters():
    return [HalfAPixel]
