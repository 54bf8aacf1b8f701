"""Prompt at the first pixel."""

from segkit import Heatmap, Prompt, Prompter, Prompts, hookimpl


class Twin(Prompter):
    """The first pixel."""

    name = "twin"

    def __call__(self, heatmap: Heatmap) -> Prompts:
        return Prompts((Prompt(points=[(0, 0)]),))


@hookimpl
def segkit_prompters():
    return [Twin]
