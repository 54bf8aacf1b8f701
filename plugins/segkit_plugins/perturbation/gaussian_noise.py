"""Add Gaussian noise to every pixel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import PositiveFloat

from segkit import Image, Perturbation, hookimpl
from segkit_plugins.perturbation._repainting import repainted


class GaussianNoise(Perturbation):
    """Each value of each pixel gets its own draw from N(0, σ²), σ = `step` × level grey levels.

    The result is rounded and clipped to 0 … 255. Red, green and blue are drawn apart. With the same
    `rng` all levels have the same pattern, only stronger.
    """

    name = "gaussian-noise"
    concurrent = True

    step: PositiveFloat = 5.0
    """How much the standard deviation grows with each level, in grey levels (of 255)."""

    def __call__(self, image: Image, level: float, rng: np.random.Generator) -> Image:
        """The noisy image; at level 0 the same pixels."""
        noise = rng.standard_normal(image.pixels.shape, np.float32)
        return repainted(image, image.pixels + noise * (self.step * level))


@hookimpl
def segkit_perturbations() -> Sequence[type[Perturbation]]:
    """Register `gaussian-noise`."""
    return [GaussianNoise]
