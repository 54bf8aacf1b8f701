"""Prompt at the first pixel, under the name of a bundled plugin."""

from segkit import Heatmap, Prompt, Prompter, Prompts, hookimpl


class TopK(Prompter):
    """The first pixel."""

    name = "topk"

    def __call__(self, heatmap: Heatmap) -> Prompts:
        return Prompts((Prompt(points=[(0, 0)]),))


@hookimpl
def segkit_prompters():
    return [TopK]
