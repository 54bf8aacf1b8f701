"""Makes a list where prompts are wanted."""

from __future__ import annotations

from segkit import Heatmap, Prompter, Prompts, hookimpl


class OtherKind(Prompter):
    """Makes a list where prompts are wanted."""

    name = "other-kind"

    def __call__(self, heatmap: Heatmap) -> Prompts:
        return [(0, 0)]


@hookimpl
def segkit_prompters():
    return [OtherKind]
