"""Classes as texts: what a step that takes any words is asked for."""

from __future__ import annotations

from collections.abc import Mapping

from segkit import Step, UsageError

MOST = 256
"""Texts at a time: each may make a heatmap of the image's size."""


def check_texts(step: Step, classes: Mapping[int, str]) -> tuple[str, ...]:
    """The names of the run's classes, as texts to look for.

    Raises `UsageError` where there are none, more than `MOST`, or an empty one.
    """
    asked = f"--{step.kind} {step.name}"
    texts = tuple(classes.values())
    if not texts:
        raise UsageError(
            f"{asked} looks for what classes are called, and neither --classes nor the data set "
            'names any; add --classes "zebra,red car"'
        )
    if len(texts) > MOST:
        raise UsageError(
            f"{asked} was asked for {len(texts)} texts, and takes {MOST} at most; ask for fewer by "
            "--classes"
        )
    if any(not text.strip() for text in texts):
        raise UsageError(f"{asked} was asked for an empty text; give each class a name")
    return texts
