"""Prompt at the last pixel."""

from segkit import Heatmap, Prompt, Prompter, Prompts, hookimpl


class Twin(Prompter):
    """The last pixel."""

    name = "twin"

    def __call__(self, heatmap: Heatmap) -> Prompts:
        height, width = heatmap.values.shape
        return Prompts((Prompt(points=[(width - 1, height - 1)]),))


@hookimpl
def segkit_prompters():
    return [Twin]
