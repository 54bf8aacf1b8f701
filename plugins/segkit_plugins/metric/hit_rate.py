"""Share of foreground points on the object, and of background points off it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from segkit import VOID, Counts, Figure, Metric, Prompts, Scores, Truth, hookimpl
from segkit_plugins.metric._counting import means, pixels_at, region


class HitRate(Metric):
    """Share of all foreground points on the object, and of all background points off it.

    The object is the region of the prompt's class if the data set knows that class by name, else
    any foreground; where the named class is not in the image, no point can be on it. All points of
    all images are pooled. A point counts for the pixel in which it lies; points on void are left
    out. Boxes and mask prompts play no part.
    """

    name = "hit-rate"
    figures = {"hit-rate": Figure(), "hit-rate-background": Figure()}

    def count(
        self, prompts: Prompts, truth: Truth, classes: Mapping[int, str] | None = None
    ) -> Counts:
        """How many points, how many right, for foreground and ('…-background') background."""
        counts: Counts = {
            "hit-rate": 0,
            "points": 0,
            "hit-rate-background": 0,
            "points-background": 0,
        }
        ids = truth.labels.ids
        for prompt in prompts:
            row, column = pixels_at(prompt.points, (ids.shape[0], ids.shape[1]))
            on = region(truth, prompt.name, classes)[row, column]
            kept = ids[row, column] != VOID
            positive, negative = prompt.signs & kept, ~prompt.signs & kept
            counts["hit-rate"] += int((on & positive).sum())
            counts["points"] += int(positive.sum())
            counts["hit-rate-background"] += int((~on & negative).sum())
            counts["points-background"] += int(negative.sum())
        return counts

    def score(self, counts: Counts) -> Scores:
        """{'hit-rate', 'hit-rate-background': shares in [0, 1]}, each only if it has points."""
        return {
            **means(counts, ["hit-rate"], per="points"),
            **means(counts, ["hit-rate-background"], per="points-background"),
        }


@hookimpl
def segkit_metrics() -> Sequence[type[Metric]]:
    """Register `hit-rate`."""
    return [HitRate]
