"""Makes a prompt without point, box or mask where nothing is hot."""

from __future__ import annotations

from segkit import Heatmap, Prompt, Prompter, Prompts, hookimpl


class AsksNothing(Prompter):
    """Makes a prompt without point, box or mask where nothing is hot."""

    name = "asks-nothing"

    def __call__(self, heatmap: Heatmap) -> Prompts:
        if not heatmap.values.any():
            return Prompts((Prompt(),))
        y, x = divmod(int(heatmap.values.argmax()), heatmap.values.shape[1])
        return Prompts((Prompt(points=[(x, y)]),))


@hookimpl
def segkit_prompters():
    return [AsksNothing]
