"""A share of right pixels and its opposite, and it declares only one of them."""

from __future__ import annotations

from segkit import Counts, Figure, Labels, Metric, Scores, Truth, hookimpl


class Undeclared(Metric):
    """A share of right pixels and its opposite, and it declares only one of them."""

    name = "undeclared"
    figures = {"undeclared": Figure()}

    def count(self, truth: Truth, labels: Labels) -> Counts:
        right = truth.labels.ids == labels.ids
        return {"right": int(right.sum()), "pixels": right.size}

    def score(self, counts: Counts) -> Scores:
        share = counts["right"] / counts["pixels"]
        return {"undeclared": share, "undeclared-error": 1 - share}


@hookimpl
def segkit_metrics():
    return [Undeclared]
