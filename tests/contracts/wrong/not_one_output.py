"""A return annotation that leaves it open what is made."""

from __future__ import annotations

from segkit import Heatmap, Prompt, Prompter, Prompts, hookimpl


class NotOneOutput(Prompter):
    """A return annotation that leaves it open what is made."""

    name = "not-one-output"

    def __call__(self, heatmap: Heatmap) -> Prompts | None:
        y, x = divmod(int(heatmap.values.argmax()), heatmap.values.shape[1])
        return Prompts((Prompt(points=[(x, y)]),))


@hookimpl
def segkit_prompters():
    return [NotOneOutput]
