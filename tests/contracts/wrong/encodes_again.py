"""Asks for its encoding, and works the image out anew."""

from __future__ import annotations

import numpy as np

from segkit import Image, Masks, Prompts, Segmenter, hookimpl


class EncodesAgain(Segmenter):
    """Asks for its encoding, and works the image out anew."""

    name = "encodes-again"

    def encode(self, image: Image) -> np.ndarray:
        return image.pixels.mean(axis=2)

    def __call__(self, image: Image, prompts: Prompts, encoding: np.ndarray) -> Masks:
        found = self.encode(image)
        masks = np.array([found > found.mean() for _ in prompts], bool).reshape(-1, *image.size)
        return Masks(masks, np.ones(len(masks)), np.arange(len(masks)))


@hookimpl
def segkit_segmenters():
    return [EncodesAgain]
