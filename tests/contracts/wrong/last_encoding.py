"""Uses the encoding of the last image that it encoded."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import PrivateAttr

from segkit import Image, Masks, Prompts, Segmenter, hookimpl


class LastEncoding(Segmenter):
    """Uses the encoding of the last image that it encoded."""

    name = "last-encoding"

    _last: Any = PrivateAttr(None)

    def close(self) -> None:
        self._last = None

    def encode(self, image: Image) -> np.ndarray:
        self._last = image.pixels.mean(axis=2)
        return self._last

    def __call__(self, image: Image, prompts: Prompts, encoding: np.ndarray) -> Masks:
        found = self._last if self._last.shape == image.size else encoding
        masks = np.array([found > found.mean() for _ in prompts], bool).reshape(-1, *image.size)
        return Masks(masks, np.ones(len(masks)), np.arange(len(masks)))


@hookimpl
def segkit_segmenters():
    return [LastEncoding]
