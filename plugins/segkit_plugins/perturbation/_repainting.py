"""An image with other pixel values: rounded, clipped, of the same name."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit import Image


def repainted(image: Image, values: NDArray[Any]) -> Image:
    """The image with these values (H, W, 3) in grey levels, rounded and clipped to 0 … 255."""
    return Image(np.rint(values).clip(0, 255).astype(np.uint8), image.name)
