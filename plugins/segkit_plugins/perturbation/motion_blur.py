"""Smear the image along a line, as a moving camera does."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat

from segkit import Image, Perturbation, hookimpl
from segkit_plugins.perturbation._repainting import repainted

FINENESS = 128
"""Points on each pixel's length of the line, to measure how much of it lies in which pixel."""


class MotionBlur(Perturbation):
    """Each pixel becomes the mean along a line through it, 1 + `step` × level pixels long.

    A pixel on the line weighs as much as the length of line inside of it. Beyond its border the
    image goes on with its edge pixels.
    """

    name = "motion-blur"
    concurrent = True

    step: PositiveFloat = 4.0
    """How much longer the line gets with each level, in pixels."""

    angle: float | None = Field(None, ge=-180, le=180)
    """Direction of the line in degrees from the x axis, clockwise as y points down; left out: a
    random one for each image, the same at all levels."""

    def __call__(self, image: Image, level: float, rng: np.random.Generator) -> Image:
        """The smeared image; at level 0 the same pixels."""
        from scipy.ndimage import convolve

        angle = rng.uniform(-90, 90) if self.angle is None else self.angle
        line = _line(1 + self.step * level, math.radians(angle))
        pixels = image.pixels.astype(np.float32)
        channels = [convolve(pixels[..., c], line, mode="nearest") for c in range(3)]
        return repainted(image, np.stack(channels, axis=-1))


def _line(length: float, angle: float) -> NDArray[np.float32]:
    """The line as a kernel (n, n), n odd, with sum 1; it is the same if turned by 180°."""
    count = math.ceil(length) * FINENESS
    along = ((np.arange(count) + 0.5) / count - 0.5) * length
    reach = math.ceil(length / 2)
    x = np.floor(along * math.cos(angle) + 0.5).astype(int) + reach
    y = np.floor(along * math.sin(angle) + 0.5).astype(int) + reach
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    np.add.at(kernel, (y, x), 1 / count)
    return ((kernel + kernel[::-1, ::-1]) / 2).astype(np.float32)  # whatever rounding did


@hookimpl
def segkit_perturbations() -> Sequence[type[Perturbation]]:
    """Register `motion-blur`."""
    return [MotionBlur]
