"""Prompt at the centre, under a bad name."""

from segkit import Heatmap, Prompt, Prompter, Prompts, hookimpl


class BadName(Prompter):
    """The centre of the image."""

    name = "Bad_Name"

    def __call__(self, heatmap: Heatmap) -> Prompts:
        height, width = heatmap.values.shape
        return Prompts((Prompt(points=[(width // 2, height // 2)]),))


@hookimpl
def segkit_prompters():
    return [BadName]
