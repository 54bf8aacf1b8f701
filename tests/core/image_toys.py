"""Pictures to write into files, and files made byte by byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

RNG = np.random.default_rng(0)


def sentence(info: pytest.ExceptionInfo[Exception]) -> str:
    """The error's text, after checking that it is one line."""
    text = str(info.value)
    assert "\n" not in text
    return text


def save(path: Path, array: np.ndarray | PIL.Image.Image, **options: object) -> Path:
    picture = array if isinstance(array, PIL.Image.Image) else PIL.Image.fromarray(array)
    picture.save(path, **options)
    return path


def photo(height: int = 40, width: int = 60) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 4 % 256, y * 5 % 256, (x + y) * 2 % 256], axis=-1).astype(np.uint8)
