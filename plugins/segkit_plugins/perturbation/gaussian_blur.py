"""Blur the image with a Gaussian, once for each level."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from pydantic import PositiveFloat

from segkit import Image, Perturbation, hookimpl
from segkit_plugins.perturbation._repainting import repainted


class GaussianBlur(Perturbation):
    """The image convolved with a Gaussian as often as the level says.

    Variances add under convolution, so that is one Gaussian of σ = `sigma` × √level, without
    rounding in between. The kernel ends at four σ; beyond its border the image is mirrored, which
    keeps that sum exact there too.
    """

    name = "gaussian-blur"
    concurrent = True

    sigma: PositiveFloat = 1.0
    """Standard deviation of the Gaussian that each level adds, in pixels."""

    def __call__(self, image: Image, level: float) -> Image:
        """The blurred image; at level 0 the same pixels."""
        from scipy.ndimage import gaussian_filter

        sigma = self.sigma * math.sqrt(level)
        pixels = image.pixels.astype(np.float32)
        return repainted(image, gaussian_filter(pixels, (sigma, sigma, 0), mode="reflect"))


@hookimpl
def segkit_perturbations() -> Sequence[type[Perturbation]]:
    """Register `gaussian-blur`."""
    return [GaussianBlur]
