"""Accuracy of each class told from all others, the mean over the classes."""

from __future__ import annotations

from collections.abc import Sequence

from segkit import Figure, Metric, hookimpl
from segkit_plugins.metric._confusion import OfConfusion, Pixels, Totals


class ClassAccuracy(OfConfusion):
    """(TP + TN) / all pixels of each class, from one confusion matrix, the mean over the classes.

    That is the accuracy of a report on trained networks (its equation 16). A pixel that is neither
    of the class nor called so is right, so that the figure lies above `accuracy`, the share of
    pixels with the right class, the more so the more classes there are; with two classes both are
    equal. Classes and pixels count as for `voc-miou`.
    """

    name = "class-accuracy"
    concurrent = True
    figures = {"class-accuracy": Figure(background=True)}

    def each(self, totals: Totals) -> Pixels:
        """(K,): (TP + TN) / (TP + TN + FP + FN) of each class."""
        wrong = totals.true + totals.predicted - 2 * totals.right  # FP + FN
        right: Pixels = 1 - wrong / totals.pixels
        return right


@hookimpl
def segkit_metrics() -> Sequence[type[Metric]]:
    """Register `class-accuracy`."""
    return [ClassAccuracy]
