"""Click on the k highest local maxima of the heatmap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt

from segkit import Heatmap, Prompt, Prompter, Prompts, hookimpl
from segkit_plugins.prompt._peaks import brightest


class LocalMaxima(Prompter):
    """The k highest peaks as foreground points: several places of a large or non-convex object.

    A peak is a pixel none of whose eight neighbours is brighter; of a plateau the pixel nearest to
    its centre. The highest is the global maximum, as `topk` finds it; further ones lie at least
    `min_distance` from those taken and have at least `level` × its heat, so there may be fewer
    than k. A heatmap without heat makes no prompt.
    """

    name = "local-maxima"
    concurrent = True

    k: PositiveInt = 3
    """How many peaks at most."""

    min_distance: NonNegativeInt = 20
    """Least distance between two peaks, in pixels."""

    level: float = Field(0.5, ge=0, le=1)
    """Least heat of a peak, as a share of the maximum."""

    separate: bool = False
    """Make a prompt of each peak, that is an object of each, in place of one prompt of all."""

    def __call__(self, heatmap: Heatmap) -> Prompts:
        """One prompt of foreground points, or one for each point; or none."""
        values = heatmap.values
        peaks = np.where(values >= self.level * values.max(), _peaks(values), np.float32(0))
        points = brightest(peaks, self.k, max(self.min_distance, 2))
        if not len(points):
            return Prompts()
        if self.separate:
            return Prompts(tuple(Prompt(points=[point]) for point in points))
        return Prompts((Prompt(points=points),))


def _peaks(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The values at the peaks, one pixel a peak; zero elsewhere."""
    from scipy import ndimage

    top = values == ndimage.maximum_filter(values, size=3, mode="nearest")
    labels, count = ndimage.label(top & (values > 0), np.ones((3, 3)))
    if not count:
        return np.zeros_like(values)
    number = labels.ravel()
    places = np.flatnonzero(number)
    centres = np.array(ndimage.center_of_mass(labels > 0, labels, np.arange(1, count + 1)))
    y, x = np.divmod(places, values.shape[1])
    away = np.hypot(*(np.stack([y, x], 1) - centres[number[places] - 1]).T)
    order = np.lexsort((places, away, number[places]))
    first = np.r_[True, np.diff(number[places][order]) > 0]
    chosen = places[order][first]
    peaks = np.zeros(values.size, np.float32)
    peaks[chosen] = values.ravel()[chosen]
    return peaks.reshape(values.shape)


@hookimpl
def segkit_prompters() -> Sequence[type[Prompter]]:
    """Register `local-maxima`."""
    return [LocalMaxima]
