"""Distance of foreground points to the centre of mass of their object."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from segkit import Counts, Figure, Metric, Prompts, Scores, Truth, hookimpl
from segkit_plugins.metric._counting import means, objects


class Distance(Metric):
    """Mean distance of all foreground points to the centre of mass of the object.

    In pixels, and as a share of the image's diagonal √(H² + W²). The object is any foreground of
    the truth, whatever class the prompt names, as for `hit-rate`; of several objects in one image
    it is the centre of mass of all together. All points of all images are pooled; points of an
    image without foreground are left out, and so are boxes and mask prompts.
    """

    name = "distance"
    concurrent = True
    figures = {
        "distance": Figure(lower_is_better=True, unit="px"),
        "distance-relative": Figure(lower_is_better=True),
    }

    def count(self, prompts: Prompts, truth: Truth) -> Counts:
        """{'distance': sum in pixels, 'distance-relative': sum of shares, 'points': how many}."""
        total, points = 0.0, 0
        rows, columns = np.nonzero(objects(truth))
        if len(rows):
            centre = columns.mean(), rows.mean()
            for prompt in prompts:
                positive = prompt.points[prompt.signs].astype(np.float64)
                total += float(np.hypot(*(positive - centre).T).sum())
                points += len(positive)
        diagonal = math.hypot(*truth.labels.ids.shape)
        return {"distance": total, "distance-relative": total / diagonal, "points": points}

    def score(self, counts: Counts) -> Scores:
        """{'distance': mean in pixels, 'distance-relative': mean share of the diagonal}."""
        return means(counts, ["distance", "distance-relative"], per="points")


@hookimpl
def segkit_metrics() -> Sequence[type[Metric]]:
    """Register `distance`."""
    return [Distance]
