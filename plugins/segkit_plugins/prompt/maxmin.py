"""Click on the brightest pixel of the heatmap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segkit import Heatmap, Prompt, Prompter, Prompts, hookimpl
from segkit_plugins.prompt._peaks import brightest


class MaxMin(Prompter):
    """The global maximum of the heatmap as foreground and, if asked, its minimum as background.

    Of several equally bright maxima, the pixel nearest to their common centre is taken: for a
    heatmap that is the same everywhere, the middle of the image. Of several equally dark minima,
    the one farthest from the maximum is taken, for they often reach to the border of the object.
    Further ties: first by row, then by column. A heatmap without heat makes no prompt; where
    nothing is darker than the maximum, there is no background point.
    """

    name = "maxmin"
    concurrent = True

    background: bool = False
    """Add the darkest pixel as a background point."""

    def __call__(self, heatmap: Heatmap) -> Prompts:
        """One prompt of one or two points, or none."""
        values = heatmap.values
        points = brightest(values)
        if not len(points):
            return Prompts()
        least = values.min()
        if self.background and least < values.max():
            y, x = np.nonzero(values == least)
            farthest = np.argmax((x - points[0, 0]) ** 2 + (y - points[0, 1]) ** 2)
            points = np.vstack([points, [x[farthest], y[farthest]]]).astype(np.float32)
        return Prompts((Prompt(points, np.arange(len(points)) == 0),))


@hookimpl
def segkit_prompters() -> Sequence[type[Prompter]]:
    """Register `maxmin`."""
    return [MaxMin]
