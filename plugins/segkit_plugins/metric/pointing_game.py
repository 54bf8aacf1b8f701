"""Share of images whose brightest heatmap pixel lies on the object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from segkit import VOID, Counts, Figure, Heatmap, Metric, Truth, hookimpl
from segkit_plugins.metric._counting import region, same_size
from segkit_plugins.metric._per_image import PerImage


class PointingGame(PerImage):
    """Share of images whose brightest heatmap pixel lies on the object (Zhang et al. 2018).

    The object is the region of the heatmap's class if the data set knows that class by name, else
    any foreground. Of equally bright pixels the first in reading order counts; a heatmap that is
    zero everywhere misses. An image with several heatmaps counts the mean over them; heatmaps
    brightest on void are left out. There is no tolerance around the object (the paper has 15 px).
    """

    name = "pointing-game"
    concurrent = True
    figures = {"pointing-game": Figure()}

    def count(
        self,
        heatmaps: tuple[Heatmap, ...],
        truth: Truth,
        classes: Mapping[int, str] | None = None,
    ) -> Counts:
        """{'pointing-game': share of the image's heatmaps that hit, 'images': 1}, or both 0."""
        hits = []
        for heatmap in heatmaps:
            same_size(self.name, heatmap.values, truth)
            brightest = int(np.argmax(heatmap.values))
            if heatmap.values.flat[brightest] == 0:
                hits.append(False)
            elif truth.labels.ids.flat[brightest] != VOID:
                hits.append(bool(region(truth, heatmap.name, classes).flat[brightest]))
        return self.counted(sum(hits) / len(hits) if hits else None)


@hookimpl
def segkit_metrics() -> Sequence[type[Metric]]:
    """Register `pointing-game`."""
    return [PointingGame]
