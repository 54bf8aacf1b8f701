"""Draw the tight box of the hot region."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from segkit import Heatmap, Prompt, Prompter, Prompts, hookimpl
from segkit_plugins.prompt._regions import hot, parts, tight_box


class Box(Prompter):
    """The tight box of the heatmap's hot region, as one prompt.

    The region is every pixel of at least `level` × the maximum (Zhou et al. 2016 take 0.2 for
    localisation by class activation maps). A heatmap without heat makes no prompt. To add points:
    `--prompt box+topk`.
    """

    name = "box"
    concurrent = True

    level: float = Field(0.35, gt=0, le=1)
    """Heat that a pixel of the region has at least, as a share of the maximum."""

    largest: bool = True
    """Take only the largest connected part of the region."""

    margin: float = Field(0.0, ge=-0.45, le=1)
    """How much wider the box is drawn at each end, as a share of its side."""

    def __call__(self, heatmap: Heatmap) -> Prompts:
        """One prompt of one box, or none."""
        region = hot(heatmap.values, self.level)
        if not region.any():
            return Prompts()
        chosen = parts(region, 1)[0] if self.largest else region
        return Prompts((Prompt(box=tight_box(chosen, self.margin)),))


@hookimpl
def segkit_prompters() -> Sequence[type[Prompter]]:
    """Register `box`."""
    return [Box]
