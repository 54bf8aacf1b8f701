"""Click, round by round, where mask and heatmap disagree most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pydantic import Field

from segkit import Heatmap, Masks, Prompt, Prompter, Prompts, hookimpl
from segkit_plugins.shared.regions import Region, cold, hot, middle, parts


class Disagreement(Prompter):
    """After each answer: one click in the largest region where mask and heatmap disagree.

    Used with another prompter: `--prompt topk+disagreement`. Hot pixels (at least `hot` × the
    maximum) that the mask leaves out call for a foreground point, cold ones (below `cold` × the
    maximum) that it holds for a background point; the larger connected region wins, and its most
    interior pixel is clicked. Regions below `least` are left alone. Nothing is added if the heatmap
    has no heat.
    """

    name = "disagreement"
    companion = True

    hot: float = Field(0.7, gt=0, le=1)
    """Heat from which a pixel should be in the mask, as a share of the maximum."""

    cold: float = Field(0.1, ge=0, le=1)
    """Heat below which a pixel should not be in the mask, as a share of the maximum."""

    least: float = Field(0.01, ge=0, le=1)
    """Least area of a region that is clicked, as a share of the image."""

    def __call__(self) -> Prompts:
        """Nothing: it waits for the first mask."""
        return Prompts()

    def refine(self, prompts: Prompts, masks: Masks, heatmap: Heatmap) -> Prompts | None:
        """The prompts with one more point each where that helps; None if none needs one."""
        values = heatmap.values
        if not values.any():
            return None
        warm, far = hot(values, self.hot), cold(values, self.cold)
        # What one prompt's mask leaves out may be another prompt's object.
        missed = warm & ~masks.masks.any(axis=0)
        made = []
        for i, prompt in enumerate(prompts):
            mask = masks.masks[masks.prompt == i].any(axis=0)
            made.append(self._clicked(prompt, missed, mask & far))
        changed = any(new is not old for new, old in zip(made, prompts, strict=True))
        return Prompts(tuple(made)) if changed else None

    def _clicked(self, prompt: Prompt, missed: Region, leaked: Region) -> Prompt:
        least = max(1, round(self.least * missed.size))
        found = [(p, True) for p in parts(missed, 1, least)]
        found += [(p, False) for p in parts(leaked, 1, least)]
        if not found:
            return prompt
        part, sign = max(found, key=lambda one: np.count_nonzero(one[0]))
        point = middle(part)
        if point in {tuple(known) for known in prompt.points.tolist()}:
            return prompt
        return replace(
            prompt,
            points=np.concatenate([prompt.points, np.array([point], np.float32)]),
            signs=np.concatenate([prompt.signs, [sign]]),
        )


@hookimpl
def segkit_prompters() -> Sequence[type[Prompter]]:
    """Register `disagreement`."""
    return [Disagreement]
