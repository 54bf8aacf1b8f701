"""Compress the image as a JPEG of falling quality."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from pydantic import PositiveFloat

from segkit import Image, Perturbation, hookimpl


class Jpeg(Perturbation):
    """The image after a round trip through a JPEG of quality 100 − `step` × level, at least 1.

    Quality is that of libjpeg, with colours at half the resolution (4:2:0), as Pillow saves it.
    """

    name = "jpeg"
    concurrent = True

    step: PositiveFloat = 20.0
    """How much the quality falls with each level; it is rounded to a whole number."""

    def __call__(self, image: Image, level: float) -> Image:
        """The image with JPEG's artefacts; at level 0 the same image, not compressed at all."""
        import PIL.Image

        if level == 0:
            return image
        packed = io.BytesIO()
        quality = max(1, round(100 - self.step * level))
        PIL.Image.fromarray(image.pixels).save(packed, "JPEG", quality=quality)
        with PIL.Image.open(packed) as picture:
            return Image(np.asarray(picture), image.name)


@hookimpl
def segkit_perturbations() -> Sequence[type[Perturbation]]:
    """Register `jpeg`."""
    return [Jpeg]
