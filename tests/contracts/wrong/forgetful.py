"""An option that is not written as it was given."""

from __future__ import annotations

from pydantic import field_serializer

from segkit import Heatmap, Prompt, Prompter, Prompts, hookimpl


class Forgetful(Prompter):
    """An option that is not written as it was given."""

    name = "forgetful"

    share: float = 0.55
    """How hot a pixel must be."""

    @field_serializer("share")
    def _rounded(self, value: float) -> float:
        return round(value, 1)

    def __call__(self, heatmap: Heatmap) -> Prompts:
        y, x = divmod(int(heatmap.values.argmax()), heatmap.values.shape[1])
        return Prompts((Prompt(points=[(x, y)]),))


@hookimpl
def segkit_prompters():
    return [Forgetful]
