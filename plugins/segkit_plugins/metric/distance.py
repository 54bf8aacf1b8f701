"""Distance of foreground points to the centre of mass of their object."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from segkit import Counts, Figure, Metric, Prompts, Scores, Truth, hookimpl
from segkit_plugins.metric._counting import means, region


class Distance(Metric):
    """Mean distance of all foreground points to the centre of mass of the object they mean.

    In pixels, and as a share of the image's diagonal √(H² + W²). The object is the region of the
    prompt's class if the data set knows that class by name and it is in the image, else any
    foreground. All points of all images are pooled; points of an image without foreground are left
    out, and so are boxes and mask prompts.
    """

    name = "distance"
    figures = {
        "distance": Figure(lower_is_better=True, unit="px"),
        "distance-relative": Figure(lower_is_better=True),
    }

    def count(
        self, prompts: Prompts, truth: Truth, classes: Mapping[int, str] | None = None
    ) -> Counts:
        """{'distance': sum in pixels, 'distance-relative': sum of shares, 'points': how many}."""
        total, points = 0.0, 0
        for prompt in prompts:
            chosen = prompt.points[prompt.signs].astype(np.float64)
            wanted = region(truth, prompt.name, classes)
            if not wanted.any():
                wanted = region(truth, None, classes)
            if not len(chosen) or not wanted.any():
                continue
            row, column = np.nonzero(wanted)
            total += float(np.hypot(*(chosen - (column.mean(), row.mean())).T).sum())
            points += len(chosen)
        diagonal = math.hypot(*truth.labels.ids.shape)
        return {"distance": total, "distance-relative": total / diagonal, "points": points}

    def score(self, counts: Counts) -> Scores:
        """{'distance': mean in pixels, 'distance-relative': mean share of the diagonal}."""
        return means(counts, ["distance", "distance-relative"], per="points")


@hookimpl
def segkit_metrics() -> Sequence[type[Metric]]:
    """Register `distance`."""
    return [Distance]
