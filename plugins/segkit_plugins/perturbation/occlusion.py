"""Hide a part of the image behind a black rectangle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from segkit import Image, Perturbation, hookimpl


class Occlusion(Perturbation):
    """A rectangle of zeros at a random place, inside the image and of its proportions.

    Its sides are `step` × level times the image's, at most all of it. With the same `rng` the
    rectangle of each level holds that of the level before.
    """

    name = "occlusion"
    concurrent = True

    step: float = Field(0.1, gt=0, le=1)
    """How much the rectangle's sides grow with each level, as a share of the image's sides."""

    def __call__(self, image: Image, level: float, rng: np.random.Generator) -> Image:
        """The image with the rectangle; at level 0 the same pixels."""
        height, width = image.size
        share = min(1.0, self.step * level)
        tall, wide = round(share * height), round(share * width)
        # The place is drawn as a share of the room that is left, so that rectangles nest.
        down, across = rng.random(2)
        top, left = round(down * (height - tall)), round(across * (width - wide))
        pixels = image.pixels.copy()
        pixels[top : top + tall, left : left + wide] = 0
        return Image(pixels, image.name)


@hookimpl
def segkit_perturbations() -> Sequence[type[Perturbation]]:
    """Register `occlusion`."""
    return [Occlusion]
