"""Darkens the image by a step more than asked for."""

from __future__ import annotations

import numpy as np

from segkit import Image, Perturbation, hookimpl


class DamageAt0(Perturbation):
    """Darkens the image by a step more than asked for."""

    name = "damage-at-0"

    def __call__(self, image: Image, level: float) -> Image:
        pixels = image.pixels.astype(int) - int(10 * (level + 1))
        return Image(np.clip(pixels, 0, 255).astype(np.uint8), image.name)


@hookimpl
def segkit_perturbations():
    return [DamageAt0]
