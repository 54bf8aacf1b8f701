"""Dice coefficient of the foreground, whatever its class."""

from __future__ import annotations

from collections.abc import Sequence

from segkit import Figure, Metric, hookimpl
from segkit_plugins.metric._counting import Overlap, share
from segkit_plugins.metric._per_image import OfForeground


class Dice(OfForeground):
    """Twice the overlap over the sum of both foregrounds (Dice 1945), the mean over images.

    Foreground is every class: labels > 0, or the union of all masks where there are no labels,
    against truth > 0. An image where both are empty counts 1; one that is all void is left out.
    """

    name = "dice"
    concurrent = True
    figures = {"dice": Figure()}

    def ratio(self, overlap: Overlap) -> float:
        """2 |predicted ∩ true| / (|predicted| + |true|)."""
        return share(2 * overlap.both, overlap.predicted + overlap.true)


@hookimpl
def segkit_metrics() -> Sequence[type[Metric]]:
    """Register `dice`."""
    return [Dice]
