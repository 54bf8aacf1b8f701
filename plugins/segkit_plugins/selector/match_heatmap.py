"""Keep the masks that match the heatmaps best, out of masks of everything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from segkit import Heatmap, Masks, Selector, hookimpl
from segkit_plugins.selector._best import best_places


class MatchHeatmap(Selector):
    """For each heatmap the mask that looks most like it, whoever asked for the mask.

    Made for `--segmenter sam-everything`, which draws masks of everything and knows of no class:
    the heatmap says what, the masks say where, as in pseudo-labels of SAM's segments (Chen et al.
    2023). A mask m matches a heatmap h, divided by its maximum, by their soft IoU (Ruzicka's
    similarity): Σ min(m, h) / Σ max(m, h) over all pixels. Each mask belongs to the heatmap that it
    matches best, and takes its class if it has none; of a heatmap's masks the best `most` stay.

    Several candidates of one prompt compete first, as for every selector, so that a prompt has one
    mask or none. A heatmap without heat, and a mask that lies where there is none, match nothing.
    Of equals the one with the higher score is kept, then the first. The masks come in the order of
    their prompts.
    """

    name = "match-heatmap"
    concurrent = True

    most: PositiveInt = 1
    """How many masks each heatmap keeps."""
    least: float = Field(0.0, ge=0, le=1)
    """Masks that match by less than this are left out."""

    def __call__(self, masks: Masks, heatmaps: tuple[Heatmap, ...]) -> Masks:
        """At most `most` masks for each heatmap, and one for each prompt."""
        if not len(masks):
            return masks
        match = np.stack([_soft_ious(masks, heatmap) for heatmap in heatmaps], axis=1)
        heatmap_of, figure = match.argmax(axis=1), match.max(axis=1)
        competing = best_places(masks, figure)
        competing = competing[(figure[competing] > 0) & (figure[competing] >= self.least)]
        kept: list[int] = []
        for number in range(len(heatmaps)):
            own = competing[heatmap_of[competing] == number]
            order = np.lexsort((-masks.scores[own], -figure[own]))
            kept += own[order[: self.most]].tolist()
        kept.sort(key=lambda place: int(masks.prompt[place]))
        names = [masks.names[i] or heatmaps[heatmap_of[i]].name for i in kept]
        return masks.take(kept).changed(names=tuple(names))


def _soft_ious(masks: Masks, heatmap: Heatmap) -> NDArray[np.float64]:
    """(n,) how much each mask looks like a heatmap, from 0 to 1."""
    values = heatmap.values
    top = float(values.max(initial=0))
    if not top:
        return np.zeros(len(masks))
    inside = np.array([values[mask].sum(dtype=np.float64) for mask in masks.arrays()]) / top
    whole = values.sum(dtype=np.float64) / top
    return inside / (masks.areas + whole - inside)


@hookimpl
def segkit_selectors() -> Sequence[type[Selector]]:
    """Register `match-heatmap`."""
    return [MatchHeatmap]
