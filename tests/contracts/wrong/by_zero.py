"""Divides by the number of true pixels, which may be none."""

from __future__ import annotations

from segkit import Counts, Labels, Metric, Scores, Truth, hookimpl


class ByZero(Metric):
    """Divides by the number of true pixels, which may be none."""

    name = "by-zero"

    def count(self, truth: Truth, labels: Labels) -> Counts:
        true = truth.labels.ids > 0
        return {"found": int((true & (labels.ids > 0)).sum()), "true": int(true.sum())}

    def score(self, counts: Counts) -> Scores:
        return {"by-zero": counts["found"] / counts["true"]}


@hookimpl
def segkit_metrics():
    return [ByZero]
