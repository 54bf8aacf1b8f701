"""What a run has left on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image as Picture


def summary(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())


def results(folder: Path) -> list[dict]:
    return [json.loads(t) for t in (folder / "results.jsonl").read_text().splitlines()]


def labels(path: Path) -> np.ndarray:
    with Picture.open(path) as picture:
        return np.asarray(picture)
