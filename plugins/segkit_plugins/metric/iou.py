"""Intersection over union of the foreground, whatever its class."""

from __future__ import annotations

from collections.abc import Sequence

from segkit import Figure, Metric, hookimpl
from segkit_plugins.metric._counting import Overlap, share
from segkit_plugins.metric._per_image import OfForeground


class IoU(OfForeground):
    """Intersection over union of the foreground (Jaccard 1901), the mean over images.

    Foreground is every class: labels > 0, or the union of all masks where there are no labels,
    against truth > 0. An image where both are empty counts 1; one that is all void is left out.
    """

    name = "iou"
    concurrent = True
    figures = {"iou": Figure()}

    def ratio(self, overlap: Overlap) -> float:
        """|predicted ∩ true| / |predicted ∪ true|."""
        return share(overlap.both, overlap.union)


@hookimpl
def segkit_metrics() -> Sequence[type[Metric]]:
    """Register `iou`."""
    return [IoU]
