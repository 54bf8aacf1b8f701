"""Prompt at the centre, from a group that is no kind."""

from segkit import Heatmap, Prompt, Prompter, Prompts, hookimpl


class Astray(Prompter):
    """The centre of the image."""

    name = "bad-group"

    def __call__(self, heatmap: Heatmap) -> Prompts:
        height, width = heatmap.values.shape
        return Prompts((Prompt(points=[(width // 2, height // 2)]),))


@hookimpl
def segkit_prompters():
    return [Astray]
