"""A share of wrong pixels, and it does not say that less is better."""

from __future__ import annotations

from segkit import Counts, Labels, Metric, Scores, Truth, hookimpl


class WrongWayUp(Metric):
    """A share of wrong pixels, and it does not say that less is better."""

    name = "wrong-way-up"

    def count(self, truth: Truth, labels: Labels) -> Counts:
        wrong = truth.labels.ids != labels.ids
        return {"wrong": int(wrong.sum()), "pixels": wrong.size}

    def score(self, counts: Counts) -> Scores:
        return {"wrong-way-up": counts["wrong"] / counts["pixels"]}


@hookimpl
def segkit_metrics():
    return [WrongWayUp]
