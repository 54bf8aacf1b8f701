"""Points of prompts counted by where they lie: what the hit rates share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit import BACKGROUND, VOID, Counts, Metric, Prompt, Prompts, Scores, Truth
from segkit_plugins.metric._counting import NO_BACKGROUND, means, pixels_at

TRUE_BACKGROUND = "background-pixels"
"""The count of the truth's background pixels."""


class OfPoints(Metric):
    """Share of foreground points on an object, and of background points off it.

    The figures are called as the metric, and so with '-background' behind it.
    """

    def counted(
        self, prompts: Prompts, truth: Truth, object_of: Callable[[Prompt], NDArray[np.bool_]]
    ) -> Counts:
        """How many points, how many right, for foreground and ('…-background') background.

        `object_of`: the region (H, W) that a prompt's points should lie on. Points on void are left
        out.
        """
        on_object, off_object = self.name, f"{self.name}-background"
        counts: Counts = {on_object: 0, "points": 0, off_object: 0, "points-background": 0}
        ids = truth.labels.ids
        for prompt in prompts:
            row, column = pixels_at(prompt.points, (ids.shape[0], ids.shape[1]))
            inside = object_of(prompt)[row, column]
            kept = ids[row, column] != VOID
            positive, negative = prompt.signs & kept, ~prompt.signs & kept
            counts[on_object] += int((inside & positive).sum())
            counts["points"] += int(positive.sum())
            counts[off_object] += int((~inside & negative).sum())
            counts["points-background"] += int(negative.sum())
        counts[TRUE_BACKGROUND] = int(np.count_nonzero(ids == BACKGROUND))
        return counts

    def score(self, counts: Counts) -> Scores:
        """{NAME, NAME-background: shares in [0, 1]}, each only if it has points."""
        return {
            **means(counts, [self.name], per="points"),
            **means(counts, [f"{self.name}-background"], per="points-background"),
        }

    def details(self, counts: Counts, classes: Mapping[int, str]) -> Mapping[str, Any]:
        """{'note': a sentence} where the truth has no background, which no point can then hit."""
        scored = counts.get("points", 0) + counts.get("points-background", 0)
        # Counts of an earlier version do not tell of background.
        return {"note": NO_BACKGROUND} if scored and counts.get(TRUE_BACKGROUND) == 0 else {}
