"""Smooth the heatmap with a Gaussian."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import PositiveFloat

from segkit import Heatmap, Transform, hookimpl


class Gaussian(Transform):
    """The heatmap convolved with a Gaussian; its edge pixels go on outside of the image.

    The result is divided by its maximum, so that the brightest pixel is exactly 1; a heatmap
    without heat stays all zero.
    """

    name = "gaussian"
    concurrent = True

    sigma: PositiveFloat = 5.0
    """Standard deviation, in pixels; the kernel ends at four of them."""

    def __call__(self, heatmap: Heatmap) -> Heatmap:
        """The smoothed heatmap, of the same shape, name and score."""
        from scipy.ndimage import gaussian_filter

        if not heatmap.values.any():
            return heatmap
        smooth = gaussian_filter(heatmap.values, self.sigma, mode="nearest")
        top = smooth.max()
        if top <= 0:  # so little heat that rounding ate it
            return heatmap
        return Heatmap((smooth / top).clip(0, 1), heatmap.name, heatmap.score)


@hookimpl
def segkit_transforms() -> Sequence[type[Transform]]:
    """Register `gaussian`."""
    return [Gaussian]
