"""Intersection over union of the objects, where only the right class counts."""

from __future__ import annotations

from collections.abc import Sequence

from segkit import Figure, Metric, hookimpl
from segkit_plugins.metric._counting import Overlap, share
from segkit_plugins.metric._per_image import OfClasses


class ClassIoU(OfClasses):
    """Pixels of the right class over the union of non-background pixels, the mean over images.

    Background is no class: a pixel counts as right only if it shows an object in truth and has
    that object's class. An object of the wrong class is in the union alone. An image where truth
    and result are all background counts 1; one that is all void is left out.
    """

    name = "class-iou"
    concurrent = True
    figures = {"class-iou": Figure(by_name=True, background=False)}

    def ratio(self, overlap: Overlap) -> float:
        """|right| / |predicted ∪ true|."""
        return share(overlap.right, overlap.union)


@hookimpl
def segkit_metrics() -> Sequence[type[Metric]]:
    """Register `class-iou`."""
    return [ClassIoU]
