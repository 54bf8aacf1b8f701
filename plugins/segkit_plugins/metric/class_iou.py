"""Intersection over union of the objects, where only the right class counts."""

from __future__ import annotations

from collections.abc import Sequence

from segkit import Counts, Labels, Metric, Scores, Truth, hookimpl
from segkit_plugins.metric._counting import class_overlap, means


class ClassIoU(Metric):
    """Pixels of the right class over the union of non-background pixels, the mean over images.

    Background is no class: a pixel counts as right only if it shows an object in truth and has
    that object's class. An object of the wrong class is in the union alone. An image where truth
    and result are all background counts 1; one that is all void is left out.
    """

    name = "class-iou"

    def count(self, truth: Truth, labels: Labels) -> Counts:
        """{'class-iou': the image's figure in [0, 1], 'images': 1}, both 0 if all is void."""
        counted = class_overlap(self.name, labels, truth)
        if counted is None:
            return {"class-iou": 0, "images": 0}
        right, found, true, both = counted
        union = found + true - both
        return {"class-iou": right / union if union else 1, "images": 1}

    def score(self, counts: Counts) -> Scores:
        """{'class-iou': mean over images, in [0, 1]}."""
        return means(counts, ["class-iou"], per="images")


@hookimpl
def segkit_metrics() -> Sequence[type[Metric]]:
    """Register `class-iou`."""
    return [ClassIoU]
