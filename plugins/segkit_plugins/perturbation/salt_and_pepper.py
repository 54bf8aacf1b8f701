"""Turn a share of the pixels black or white."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from segkit import Image, Perturbation, hookimpl


class SaltAndPepper(Perturbation):
    """Each pixel is hit with the chance `step` × level (at most 1), then black or white by half.

    A pixel is hit in all three colours at once. With the same `rng` the pixels that are hit at one
    level are hit, in the same way, at all higher ones.
    """

    name = "salt-and-pepper"
    concurrent = True

    step: float = Field(0.02, gt=0, le=1)
    """How much the share of pixels that are hit grows with each level."""

    def __call__(self, image: Image, level: float, rng: np.random.Generator) -> Image:
        """The image with black and white pixels; at level 0 the same pixels."""
        share = min(1.0, self.step * level)
        drawn = rng.random(image.size)
        pixels = image.pixels.copy()
        pixels[drawn < share / 2] = 0
        pixels[drawn >= 1 - share / 2] = 255
        return Image(pixels, image.name)


@hookimpl
def segkit_perturbations() -> Sequence[type[Perturbation]]:
    """Register `salt-and-pepper`."""
    return [SaltAndPepper]
