"""An option that nobody explains."""

from __future__ import annotations

from segkit import Heatmap, Prompt, Prompter, Prompts, hookimpl


class NoHelp(Prompter):
    """An option that nobody explains."""

    name = "no-help"

    share: float = 0.5

    def __call__(self, heatmap: Heatmap) -> Prompts:
        y, x = divmod(int(heatmap.values.argmax()), heatmap.values.shape[1])
        return Prompts((Prompt(points=[(x, y)]),))


@hookimpl
def segkit_prompters():
    return [NoHelp]
