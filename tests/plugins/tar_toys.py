"""Tar archives in WebDataset's layout."""

from __future__ import annotations

import io
import tarfile

import numpy as np
from PIL import Image as Picture

NOISE = np.random.default_rng(0)


def png(array):
    content = io.BytesIO()
    Picture.fromarray(np.asarray(array, np.uint8)).save(content, "PNG")
    return content.getvalue()


def photo(size=(20, 30)):
    return NOISE.integers(0, 255, (*size, 3), dtype=np.uint8)


def mask(size=(20, 30), value=1):
    ids = np.zeros(size, np.uint8)
    ids[4:10, 5:20] = value
    return ids


def write(path, files, mode="w", **how):
    with tarfile.open(path, mode, **how) as tar:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return str(path)


def sample(key, number=1):
    return [(f"{key}.png", png(photo())), (f"{key}.mask.png", png(mask(value=number)))]


def two_tars(folder):
    """Two archives of three images each, in this folder, which is given back."""
    for shard in (0, 1):
        files = [f for i in range(3) for f in sample(f"./dir/{shard}-{i}", 1 + i)]
        write(folder / f"train-{shard:03d}.tar", [*files, ("./dir/readme.txt", b"no image")])
    return folder
