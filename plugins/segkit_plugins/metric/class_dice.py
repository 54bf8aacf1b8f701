"""Dice coefficient of the objects, where only the right class counts."""

from __future__ import annotations

from collections.abc import Sequence

from segkit import Counts, Labels, Metric, Scores, Truth, hookimpl
from segkit_plugins.metric._counting import class_overlap, means


class ClassDice(Metric):
    """Twice the pixels of the right class over all non-background pixels, the mean over images.

    The sum below is that of the truth's and of the result's non-background pixels. It is the F1
    score of the classes taken together (micro average) without background. An image where truth
    and result are all background counts 1; one that is all void is left out.
    """

    name = "class-dice"

    def count(self, truth: Truth, labels: Labels) -> Counts:
        """{'class-dice': the image's figure in [0, 1], 'images': 1}, both 0 if all is void."""
        counted = class_overlap(self.name, labels, truth)
        if counted is None:
            return {"class-dice": 0, "images": 0}
        right, found, true, _ = counted
        return {"class-dice": 2 * right / (found + true) if found + true else 1, "images": 1}

    def score(self, counts: Counts) -> Scores:
        """{'class-dice': mean over images, in [0, 1]}."""
        return means(counts, ["class-dice"], per="images")


@hookimpl
def segkit_metrics() -> Sequence[type[Metric]]:
    """Register `class-dice`."""
    return [ClassDice]
