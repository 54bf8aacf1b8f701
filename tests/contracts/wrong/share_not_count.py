"""A share of pixels in place of counts."""

from __future__ import annotations

from segkit import Counts, Labels, Metric, Scores, Truth, hookimpl


class ShareNotCount(Metric):
    """A share of pixels in place of counts."""

    name = "share-not-count"

    def count(self, truth: Truth, labels: Labels) -> Counts:
        return {"right": float((truth.labels.ids == labels.ids).mean())}

    def score(self, counts: Counts) -> Scores:
        return {"share-not-count": counts["right"]}


@hookimpl
def segkit_metrics():
    return [ShareNotCount]
