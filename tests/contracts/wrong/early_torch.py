"""Imports torch when it is itself imported."""

from __future__ import annotations

import torch  # noqa: F401

from segkit import Heatmap, Prompt, Prompter, Prompts, hookimpl


class EarlyTorch(Prompter):
    """Imports torch when it is itself imported."""

    name = "early-torch"

    def __call__(self, heatmap: Heatmap) -> Prompts:
        y, x = divmod(int(heatmap.values.argmax()), heatmap.values.shape[1])
        return Prompts((Prompt(points=[(x, y)]),))


@hookimpl
def segkit_prompters():
    return [EarlyTorch]
