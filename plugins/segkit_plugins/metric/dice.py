"""Dice coefficient of the foreground, whatever its class."""

from __future__ import annotations

from collections.abc import Sequence

from segkit import Counts, Labels, Masks, Metric, Scores, Truth, hookimpl
from segkit_plugins.metric._counting import foreground, means, overlap


class Dice(Metric):
    """Twice the overlap over the sum of both foregrounds (Dice 1945), the mean over images.

    Foreground is every class: labels > 0, or the union of all masks where there are no labels,
    against truth > 0. An image where both are empty counts 1; one that is all void is left out.
    """

    name = "dice"

    def count(
        self, truth: Truth, labels: Labels | None = None, masks: Masks | None = None
    ) -> Counts:
        """{'dice': the image's Dice in [0, 1], 'images': 1}, both 0 if every pixel is void."""
        counted = overlap(foreground(self.name, labels, masks, truth), truth)
        if counted is None:
            return {"dice": 0, "images": 0}
        both, found, true = counted
        return {"dice": 2 * both / (found + true) if found + true else 1, "images": 1}

    def score(self, counts: Counts) -> Scores:
        """{'dice': mean over images, in [0, 1]}."""
        return means(counts, ["dice"], per="images")


@hookimpl
def segkit_metrics() -> Sequence[type[Metric]]:
    """Register `dice`."""
    return [Dice]
