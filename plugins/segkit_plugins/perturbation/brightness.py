"""Make the image brighter or darker by a constant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import PositiveFloat

from segkit import Image, Perturbation, hookimpl
from segkit_plugins.perturbation._repainting import repainted


class _Brightness(Perturbation):
    """Both ways; the two plugins differ in the sign."""

    step: PositiveFloat = 15.0
    """How much each level adds, or takes away, in grey levels (of 255)."""

    def _shifted(self, image: Image, by: float) -> Image:
        return repainted(image, image.pixels.astype(np.float32) + np.float32(by))


class BrightnessUp(_Brightness):
    """Brighter: `step` × level is added to every value, which is then clipped at 255."""

    name = "brightness-up"
    concurrent = True

    def __call__(self, image: Image, level: float) -> Image:
        """The brighter image; at level 0 the same pixels."""
        return self._shifted(image, self.step * level)


class BrightnessDown(_Brightness):
    """Darker: `step` × level is taken from every value, which is then clipped at 0."""

    name = "brightness-down"
    concurrent = True

    def __call__(self, image: Image, level: float) -> Image:
        """The darker image; at level 0 the same pixels."""
        return self._shifted(image, -self.step * level)


@hookimpl
def segkit_perturbations() -> Sequence[type[Perturbation]]:
    """Register `brightness-up` and `brightness-down`."""
    return [BrightnessUp, BrightnessDown]
