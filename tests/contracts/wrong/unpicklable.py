"""Holds a function that cannot go to another process."""

from __future__ import annotations

from typing import Any

from pydantic import PrivateAttr

from segkit import Heatmap, Prompt, Prompter, Prompts, hookimpl


class Unpicklable(Prompter):
    """Holds a function that cannot go to another process."""

    name = "unpicklable"

    _find: Any = PrivateAttr(default_factory=lambda: lambda values: int(values.argmax()))

    def __call__(self, heatmap: Heatmap) -> Prompts:
        y, x = divmod(self._find(heatmap.values), heatmap.values.shape[1])
        return Prompts((Prompt(points=[(x, y)]),))


@hookimpl
def segkit_prompters():
    return [Unpicklable]
