"""Intersection over union of the foreground, whatever its class."""

from __future__ import annotations

from collections.abc import Sequence

from segkit import Counts, Labels, Masks, Metric, Scores, Truth, hookimpl
from segkit_plugins.metric._counting import foreground, means, overlap


class IoU(Metric):
    """Intersection over union of the foreground (Jaccard 1901), the mean over images.

    Foreground is every class: labels > 0, or the union of all masks where there are no labels,
    against truth > 0. An image where both are empty counts 1; one that is all void is left out.
    """

    name = "iou"

    def count(
        self, truth: Truth, labels: Labels | None = None, masks: Masks | None = None
    ) -> Counts:
        """{'iou': the image's IoU in [0, 1], 'images': 1}, both 0 if every pixel is void."""
        counted = overlap(foreground(self.name, labels, masks, truth), truth)
        if counted is None:
            return {"iou": 0, "images": 0}
        both, found, true = counted
        union = found + true - both
        return {"iou": both / union if union else 1, "images": 1}

    def score(self, counts: Counts) -> Scores:
        """{'iou': mean over images, in [0, 1]}."""
        return means(counts, ["iou"], per="images")


@hookimpl
def segkit_metrics() -> Sequence[type[Metric]]:
    """Register `iou`."""
    return [IoU]
