"""Prompt a segmenter with the four outermost pixels of a heatmap's hot region."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field
from segkit import Heatmap, Prompt, Prompter, Prompts, hookimpl


class Corners(Prompter):
    """The hot region's outermost pixels along both diagonals, as foreground points of one object.

    Hot are the pixels of at least `share` of the heatmap's maximum. The points are those with the
    least x + y, the greatest x - y, the least x - y and the greatest x + y: top left, top right,
    bottom left and bottom right. Of equals the hottest counts, then the first in reading order; a
    pixel that is two of them is named once. A heatmap of zeros has no hot region, so nothing is
    prompted.
    """

    name = "corners"

    share: Annotated[float, Field(gt=0, le=1)] = 0.8
    """How hot a pixel must be, as a share of the maximum."""

    def __call__(self, heatmap: Heatmap) -> Prompts:
        """One prompt of one to four points (x, y) in pixels of the image, or no prompt."""
        values = heatmap.values
        if not values.any():
            return Prompts()
        y, x = np.nonzero(values >= self.share * values.max())
        heat = values[y, x]
        # lexsort's last key comes first, and what is equal in all keys stays in reading order.
        corners = [np.lexsort((-heat, key))[0] for key in (x + y, y - x, x - y, -x - y)]
        points = dict.fromkeys((x[i], y[i]) for i in corners)  # in order, each once
        return Prompts((Prompt(points=np.array([*points], np.float32)),))


@hookimpl
def segkit_prompters() -> Sequence[type[Prompter]]:
    """What this module adds to segkit."""
    return [Corners]
