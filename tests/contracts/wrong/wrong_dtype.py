"""Masks of 0 and 1 as whole numbers."""

from __future__ import annotations

import numpy as np

from segkit import Image, Masks, Prompts, Segmenter, hookimpl


class WrongDtype(Segmenter):
    """Masks of 0 and 1 as whole numbers."""

    name = "wrong-dtype"

    def __call__(self, image: Image, prompts: Prompts) -> Masks:
        bright = image.pixels.mean(axis=2) > 128
        masks = np.array([bright for _ in prompts], np.uint8).reshape(-1, *image.size)
        return Masks(masks, np.ones(len(masks)), np.arange(len(masks)))


@hookimpl
def segkit_segmenters():
    return [WrongDtype]
