"""Spread heat to its neighbourhood by inverse distance, so that broad warmth beats thin peaks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeInt, PositiveFloat

from segkit import Heatmap, Transform, hookimpl

DIRECT_UP_TO = 1
"""Largest radius that is summed directly.

Measured on 16² to 4000×3000 pixels: nine taps are summed faster than transformed on every size
from 64² on; from 25 taps (radius 2) the FFT is level or ahead, from 121 (radius 5) ten times.
"""


class InverseDistance(Transform):
    """H̃ = H + H ∗ K with K(i, j) = 1 / √(i² + j² + ε), i and j in pixels from −radius to radius.

    Inverse distance weighting: each pixel gains the heat around it, the nearer the more. Outside
    of the image there is no heat (zero padding). The result is divided by its maximum, so that the
    brightest pixel is exactly 1; a heatmap without heat stays all zero.

    Radii above 1 are computed by FFT in float32: values are exact to about 1e-6, and rounding noise
    below zero is set to zero.
    """

    name = "idw"
    concurrent = True

    radius: NonNegativeInt = 5
    """How far heat spreads along each axis, in pixels."""

    epsilon: PositiveFloat = 1.0
    """ε in the kernel: the smaller, the more a pixel's own heat counts. The source report has a
    small one, without a figure; ours is 1, for as ε falls the pixel outweighs its neighbours by
    1/√ε, and the heatmap comes out as it went in."""

    def __call__(self, heatmap: Heatmap) -> Heatmap:
        """The spread heatmap, of the same shape, name and score."""
        values = heatmap.values
        if not values.any():
            return heatmap
        spread = np.maximum(values + self._convolved(values), 0)
        return Heatmap(spread / spread.max(), heatmap.name, heatmap.score)

    def _convolved(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """H ∗ K, zeros outside."""
        reach = min(self.radius, max(values.shape))  # there is no heat beyond the image
        offsets = np.arange(-reach, reach + 1)
        squares = offsets[:, None] ** 2 + offsets**2
        kernel = (1 / np.sqrt(squares + self.epsilon)).astype(np.float32)
        if reach <= DIRECT_UP_TO:
            from scipy.ndimage import convolve

            return convolve(values, kernel, mode="constant")
        from scipy.signal import fftconvolve

        return fftconvolve(values, kernel, mode="same")


@hookimpl
def segkit_transforms() -> Sequence[type[Transform]]:
    """Register `idw`."""
    return [InverseDistance]
