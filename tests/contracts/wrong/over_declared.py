"""A share of right pixels, and it declares one for each class, too."""

from __future__ import annotations

from segkit import Counts, Figure, Labels, Metric, Scores, Truth, hookimpl


class OverDeclared(Metric):
    """A share of right pixels, and it declares one for each class, too."""

    name = "over-declared"
    figures = {"over-declared": Figure(), "over-declared-*": Figure()}

    def count(self, truth: Truth, labels: Labels) -> Counts:
        right = truth.labels.ids == labels.ids
        return {"right": int(right.sum()), "pixels": right.size}

    def score(self, counts: Counts) -> Scores:
        share = counts["right"] / counts["pixels"]
        return {"over-declared": share}


@hookimpl
def segkit_metrics():
    return [OverDeclared]
