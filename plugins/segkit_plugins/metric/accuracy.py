"""Share of pixels with the right class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segkit import VOID, Counts, Figure, Labels, Metric, Scores, Truth, hookimpl
from segkit_plugins.metric._counting import means, same_size


class Accuracy(Metric):
    """Share of pixels with the right class id, background included, pooled over all images.

    Every pixel counts the same, so a large image counts more than a small one.
    """

    name = "accuracy"
    concurrent = True
    figures = {"accuracy": Figure(by_name=True, background=True)}

    def count(self, truth: Truth, labels: Labels) -> Counts:
        """{'accuracy': pixels that are right, 'pixels': pixels that are not void}."""
        same_size(self.name, labels.ids, truth)
        kept = truth.labels.ids != VOID
        right = (labels.ids == truth.labels.ids) & kept
        return {"accuracy": int(np.count_nonzero(right)), "pixels": int(np.count_nonzero(kept))}

    def score(self, counts: Counts) -> Scores:
        """{'accuracy': share of pixels, in [0, 1]}."""
        return means(counts, ["accuracy"], per="pixels")


@hookimpl
def segkit_metrics() -> Sequence[type[Metric]]:
    """Register `accuracy`."""
    return [Accuracy]
