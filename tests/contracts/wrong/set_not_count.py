"""The classes that are seen in place of their number."""

from __future__ import annotations

import numpy as np

from segkit import Counts, Labels, Metric, Scores, hookimpl


class SetNotCount(Metric):
    """The classes that are seen in place of their number."""

    name = "set-not-count"

    def count(self, labels: Labels) -> Counts:
        return {"seen": set(np.unique(labels.ids).tolist())}

    def score(self, counts: Counts) -> Scores:
        return {"set-not-count": len(counts["seen"])}


@hookimpl
def segkit_metrics():
    return [SetNotCount]
