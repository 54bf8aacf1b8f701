"""Hand the heatmap to the segmenter as a coarse mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field, PositiveFloat

from segkit import Heatmap, Prompt, Prompter, Prompts, hookimpl
from segkit_plugins.prompt._regions import hot


class Mask(Prompter):
    """The heatmap as a mask prompt: logits, positive where it is hot.

    Thresholded: +`strength` where the heat is at least `level` × the maximum, −`strength`
    elsewhere. `soft`: `strength` × (heat / maximum − level), scaled to reach ±`strength`. Such a
    prompt can stand alone, or with points: `--prompt mask+topk`. A heatmap without heat makes no
    prompt.
    """

    name = "mask"
    concurrent = True

    level: float = Field(0.35, gt=0, le=1)
    """Heat from which a pixel counts as object, as a share of the maximum."""

    strength: PositiveFloat = 8.0
    """How sure the mask claims to be, in logits."""

    soft: bool = False
    """Let the logits follow the heat instead of jumping at the level."""

    def __call__(self, heatmap: Heatmap) -> Prompts:
        """One prompt of mask logits (H, W), or none."""
        region = hot(heatmap.values, self.level)
        if not region.any():
            return Prompts()
        if self.soft:
            rise = heatmap.values / heatmap.values.max() - self.level
            logits = np.where(rise >= 0, rise / max(1 - self.level, 1e-6), rise / self.level)
            logits = np.where(region & (logits <= 0), 1e-3, logits) * self.strength
        else:
            logits = np.where(region, self.strength, -self.strength)
        return Prompts((Prompt(mask=logits.astype(np.float32)),))


@hookimpl
def segkit_prompters() -> Sequence[type[Prompter]]:
    """Register `mask`."""
    return [Mask]
