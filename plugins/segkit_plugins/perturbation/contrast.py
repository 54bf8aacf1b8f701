"""Raise or lower the contrast, about the image's mean brightness."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segkit import Image, Perturbation, hookimpl
from segkit_plugins.perturbation._repainting import repainted

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in brightness (ITU-R BT.601)."""


class _Contrast(Perturbation):
    """Both ways; the two plugins differ in the sign of the exponent."""

    ratio: float = Field(1.25, gt=1)
    """By how much each level multiplies, or divides, the distance of a value from the mean."""

    def _scaled(self, image: Image, factor: float) -> Image:
        pixels: NDArray[np.float32] = image.pixels.astype(np.float32)
        mean = (pixels @ np.array(LUMA, np.float32)).mean(dtype=np.float64)
        return repainted(image, mean + factor * (pixels - np.float32(mean)))


class ContrastUp(_Contrast):
    """Contrast raised: values move away from the image's mean brightness, `ratio` ^ level times.

    The mean is that of the luma 0.299 R + 0.587 G + 0.114 B over the whole image. What leaves
    0 … 255 is clipped, so bright and dark parts lose their details.
    """

    name = "contrast-up"
    concurrent = True

    def __call__(self, image: Image, level: float) -> Image:
        """The image with more contrast; at level 0 the same pixels."""
        return self._scaled(image, self.ratio**level)


class ContrastDown(_Contrast):
    """Contrast lowered: values move towards the image's mean brightness, by 1 / `ratio` ^ level.

    The mean is that of the luma 0.299 R + 0.587 G + 0.114 B over the whole image. Values are
    rounded, so steps smaller than one grey level are lost.
    """

    name = "contrast-down"
    concurrent = True

    def __call__(self, image: Image, level: float) -> Image:
        """The image with less contrast; at level 0 the same pixels."""
        return self._scaled(image, self.ratio**-level)


@hookimpl
def segkit_perturbations() -> Sequence[type[Perturbation]]:
    """Register `contrast-up` and `contrast-down`."""
    return [ContrastUp, ContrastDown]
