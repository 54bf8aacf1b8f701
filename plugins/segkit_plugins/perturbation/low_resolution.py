"""Shrink the image and enlarge it again, so that its details are lost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from segkit import Image, Perturbation, hookimpl


class LowResolution(Perturbation):
    """The image at 1 / `ratio` ^ level of its width and height, brought back to its size.

    Both ways are bilinear, on the way down over all pixels that a new one covers (antialiased).
    No side falls below one pixel.
    """

    name = "low-resolution"
    concurrent = True

    ratio: float = Field(1.5, gt=1)
    """By how much each level divides width and height."""

    def __call__(self, image: Image, level: float) -> Image:
        """The coarser image, of the same size; at level 0 the same pixels."""
        import PIL.Image

        height, width = image.size
        by = self.ratio**level
        small = (max(1, round(width / by)), max(1, round(height / by)))
        how = PIL.Image.Resampling.BILINEAR
        coarse = PIL.Image.fromarray(image.pixels).resize(small, how)
        return Image(np.asarray(coarse.resize((width, height), how)), image.name)


@hookimpl
def segkit_perturbations() -> Sequence[type[Perturbation]]:
    """Register `low-resolution`."""
    return [LowResolution]
