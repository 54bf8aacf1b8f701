"""Click, round by round, where mask and heatmap disagree most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pydantic import Field

from segkit import Heatmap, Masks, Prompt, Prompter, Prompts, hookimpl
from segkit_plugins.prompt._regions import Region, cold, hot, middle, parts


class Disagreement(Prompter):
    """After each answer: one click in the largest region where mask and heatmap disagree.

    Used with another prompter: `--prompt topk+disagreement`. Hot pixels (at least `hot` × the
    maximum) that the mask leaves out call for a foreground point, cold ones (below `cold` × the
    maximum) that it holds for a background point; the larger connected region wins, and its most
    interior pixel is clicked. Of several prompts only the nearest one gets a missed region. Regions
    below `least` are left alone. Nothing is added if the heatmap has no heat.
    """

    name = "disagreement"
    concurrent = True
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
        if not len(prompts) or not values.any():
            return None
        warm, far = hot(values, self.hot), cold(values, self.cold)
        # What one prompt's mask leaves out may be another prompt's object.
        missed = warm & ~masks.covered()
        own = [masks.covered(masks.prompt == i) for i in range(len(prompts))]
        least = max(1, round(self.least * missed.size))
        part = next(iter(parts(missed, least)), None)
        nearest = None if part is None else _nearest(part, own, prompts)
        refined = []
        for i, prompt in enumerate(prompts):
            leak = next(iter(parts(own[i] & far, least)), None)
            refined.append(self._clicked(prompt, part if i == nearest else None, leak))
        changed = any(new is not old for new, old in zip(refined, prompts, strict=True))
        return Prompts(tuple(refined)) if changed else None

    def _clicked(self, prompt: Prompt, missed: Region | None, leaked: Region | None) -> Prompt:
        """The prompt with a click in the larger of the two regions, if there is one."""
        regions = [
            (part, sign) for part, sign in ((missed, True), (leaked, False)) if part is not None
        ]
        if not regions:
            return prompt
        part, sign = max(regions, key=lambda pair: np.count_nonzero(pair[0]))
        point = middle(part)
        if point in {tuple(known) for known in prompt.points.tolist()}:
            return prompt
        return replace(
            prompt,
            points=np.concatenate([prompt.points, np.array([point], np.float32)]),
            signs=np.concatenate([prompt.signs, [sign]]),
        )


def _nearest(part: Region, own: Sequence[Region], prompts: Prompts) -> int:
    """Which prompt a missed region belongs to: the one whose mask, or first point, is nearest."""
    x, y = middle(part)
    away = []
    for mask, prompt in zip(own, prompts, strict=True):
        ys, xs = np.nonzero(mask)
        if not len(xs):
            xs, ys = prompt.points[:1].T
        away.append(float(np.hypot(xs - x, ys - y).min()) if len(xs) else np.inf)
    return int(np.argmin(away))


@hookimpl
def segkit_prompters() -> Sequence[type[Prompter]]:
    """Register `disagreement`."""
    return [Disagreement]
