"""Keeps its weights after it is closed."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import PrivateAttr

from segkit import Image, Masks, Prompts, Segmenter, hookimpl


class StillOpen(Segmenter):
    """Keeps its weights after it is closed."""

    name = "still-open"

    _weights: Any = PrivateAttr(None)

    def open(self, device: str) -> None:
        self._weights = np.ones((64, 64))

    def __call__(self, image: Image, prompts: Prompts) -> Masks:
        bright = image.pixels.mean(axis=2) > 128
        masks = np.array([bright for _ in prompts], bool).reshape(-1, *image.size)
        return Masks(masks, np.ones(len(masks)), np.arange(len(masks)))


@hookimpl
def segkit_segmenters():
    return [StillOpen]
