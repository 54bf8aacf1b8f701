"""Put background points where the mask leaks, and only there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pydantic import Field, PositiveInt

from segkit import Heatmap, Masks, Prompt, Prompter, Prompts, hookimpl
from segkit_plugins.prompt._regions import Region, cold, middle, parts


class AdaptiveBackground(Prompter):
    """After each answer: background points in the parts of the mask where the heatmap is cold.

    Used with another prompter: `--prompt topk+adaptive-background`. A part leaks if it is
    connected, its heat is below `cold` × the maximum, and it covers at least `least` of the mask;
    its most interior pixel becomes a background point, the largest parts first. Where nothing
    leaks, the prompt stays as it was; `--rounds` bounds how often it is asked again. Nothing is
    added if the heatmap has no heat.
    """

    name = "adaptive-background"
    companion = True

    cold: float = Field(0.1, ge=0, le=1)
    """Heat below which a pixel should not be in the mask, as a share of the maximum."""

    least: float = Field(0.1, ge=0, le=1)
    """Smaller leaks are left alone; a share of the mask's area."""

    points: PositiveInt = 1
    """At most this many points for each prompt and round."""

    def __call__(self) -> Prompts:
        """Nothing: it waits for the first mask."""
        return Prompts()

    def refine(self, prompts: Prompts, masks: Masks, heatmap: Heatmap) -> Prompts | None:
        """The prompts with background points where their masks leak; None if none does."""
        if not heatmap.values.any():
            return None
        far = cold(heatmap.values, self.cold)
        refined = tuple(
            self._held_back(prompt, masks.covered(masks.prompt == i), far)
            for i, prompt in enumerate(prompts)
        )
        changed = any(new is not old for new, old in zip(refined, prompts, strict=True))
        return Prompts(refined) if changed else None

    def _held_back(self, prompt: Prompt, mask: Region, far: Region) -> Prompt:
        least = max(1, round(self.least * np.count_nonzero(mask)))
        middles = [middle(part) for part in parts(mask & far, self.points, least)]
        known = {tuple(point) for point in prompt.points.tolist()}
        new = [point for point in middles if point not in known]
        if not new:
            return prompt
        return replace(
            prompt,
            points=np.concatenate([prompt.points, np.array(new, np.float32)]),
            signs=np.concatenate([prompt.signs, np.zeros(len(new), bool)]),
        )


@hookimpl
def segkit_prompters() -> Sequence[type[Prompter]]:
    """Register `adaptive-background`."""
    return [AdaptiveBackground]
