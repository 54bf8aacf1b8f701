"""Put haze between camera and scene, thicker towards the top of the image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field, PositiveFloat

from segkit import Image, Perturbation, hookimpl
from segkit_plugins.perturbation._repainting import repainted


class Haze(Perturbation):
    """Light fades with the way through haze, and the haze's own light comes in its place.

    Koschmieder's law (1924), as in He, Sun and Tang ("Single image haze removal using dark channel
    prior", 2009): value × t + `airlight` × (1 − t), t = exp(−`density` × level × depth). For want
    of a true depth, it rises evenly from `near` in the bottom row to 1 in the top row.
    """

    name = "haze"
    concurrent = True

    density: PositiveFloat = 0.25
    """How much each level adds to the haze's density, per unit of depth."""

    airlight: float = Field(230.0, ge=0, le=255)
    """The haze's own brightness, in grey levels."""

    near: float = Field(0.5, ge=0, le=1)
    """Depth of the bottom row, where that of the top row is 1; 1 makes the haze even."""

    def __call__(self, image: Image, level: float) -> Image:
        """The hazy image; at level 0 the same pixels."""
        depth = np.linspace(1, self.near, image.size[0], dtype=np.float32)[:, None, None]
        kept = np.exp(-self.density * level * depth)
        return repainted(image, image.pixels * kept + self.airlight * (1 - kept))


@hookimpl
def segkit_perturbations() -> Sequence[type[Perturbation]]:
    """Register `haze`."""
    return [Haze]
