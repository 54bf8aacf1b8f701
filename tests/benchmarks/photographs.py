"""Photographs for the benchmarks, of those that come with scikit-image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image


def write_photographs(
    folder: Path, count: int, size: tuple[int, int], quality: int = 95
) -> list[Path]:
    """Write JPEGs of `size` (width, height), each another part of one of them; their paths."""
    from segkit_plugins.dataset.samples import Samples

    whole = [PIL.Image.fromarray(image.pixels) for image, _ in Samples()]
    rng = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    paths = []
    for number in range(count):
        photo = whole[number % len(whole)]
        width, height = (int(side * rng.uniform(0.6, 1)) for side in photo.size)
        x, y = rng.integers(photo.width - width + 1), rng.integers(photo.height - height + 1)
        paths.append(folder / f"{number:03}.jpg")
        part = photo.crop((x, y, x + width, y + height)).resize(size)
        part.save(paths[-1], quality=quality)
    return paths
