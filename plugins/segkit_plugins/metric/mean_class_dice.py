"""Mean Dice coefficient of the classes over the whole set."""

from __future__ import annotations

from collections.abc import Sequence

from segkit import Figure, Metric, hookimpl
from segkit_plugins.metric._confusion import OfConfusion, Pixels, Totals


class MeanClassDice(OfConfusion):
    """Dice of each class (Dice 1945) from one confusion matrix, the mean over the classes.

    It is `voc-miou` with 2 TP / (2 TP + FP + FN) in place of the IoU, and counts as that does:
    pixels of all images are pooled, background is a class, a class that is found and never true
    counts 0, and one that is neither is left out. (`class-dice` takes the classes together, without
    background, image by image.)
    """

    name = "mean-class-dice"
    concurrent = True
    figures = {"mean-class-dice": Figure(background=True)}

    def each(self, totals: Totals) -> Pixels:
        """(K,): 2 TP / (2 TP + FP + FN) of each class."""
        dices: Pixels = 2 * totals.right / (totals.true + totals.predicted)
        return dices


@hookimpl
def segkit_metrics() -> Sequence[type[Metric]]:
    """Register `mean-class-dice`."""
    return [MeanClassDice]
