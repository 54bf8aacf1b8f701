"""Hands the encodings of a batch back in another order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segkit import Image, Masks, Prompts, Segmenter, hookimpl


class EncodingsInReverse(Segmenter):
    """Hands the encodings of a batch back in another order."""

    name = "encodings-in-reverse"

    def encode(self, image: Image) -> float:
        return float(image.pixels.mean())

    def encode_batch(self, inputs: Sequence[Mapping[str, Any]]) -> list[Any]:
        return super().encode_batch(inputs)[::-1]

    def __call__(self, image: Image, prompts: Prompts, encoding: float) -> Masks:
        bright = image.pixels.mean(axis=2) > encoding
        masks = np.array([bright for _ in prompts], bool).reshape(-1, *image.size)
        return Masks(masks, np.ones(len(masks)), np.arange(len(masks)))


@hookimpl
def segkit_segmenters():
    return [EncodingsInReverse]
