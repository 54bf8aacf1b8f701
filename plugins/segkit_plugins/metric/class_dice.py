"""Dice coefficient of the objects, where only the right class counts."""

from __future__ import annotations

from collections.abc import Sequence

from segkit import Figure, Metric, hookimpl
from segkit_plugins.metric._counting import Overlap, share
from segkit_plugins.metric._per_image import OfClasses


class ClassDice(OfClasses):
    """Twice the pixels of the right class over all non-background pixels, the mean over images.

    The sum below is that of the truth's and of the result's non-background pixels. It is the F1
    score of the classes taken together (micro average) without background. An image where truth
    and result are all background counts 1; one that is all void is left out.
    """

    name = "class-dice"
    concurrent = True
    figures = {"class-dice": Figure(by_name=True, background=False)}

    def ratio(self, overlap: Overlap) -> float:
        """2 |right| / (|predicted| + |true|)."""
        return share(2 * overlap.right, overlap.predicted + overlap.true)


@hookimpl
def segkit_metrics() -> Sequence[type[Metric]]:
    """Register `class-dice`."""
    return [ClassDice]
