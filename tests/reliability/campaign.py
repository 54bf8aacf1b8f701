"""What the attacks have in common: how many, on what, and how what they find is counted."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import PIL.Image

from segkit import write_png
from segkit_plugins.dataset.shapes import Shapes

SHARE = float(os.environ.get("SEGKIT_CAMPAIGN", "1"))
"""Which share of the attacks is made; 1 is the campaign."""

PATIENCE = 120.0 if SHARE >= 1 else 300.0
"""Seconds after which a command hangs; a share is tried while the machine has other work."""

COLUMNS = ("lost", "doubled", "unequal", "executed", "tracebacks", "hangs")

WRITERS = ("masks", "coco", "voc", "yolo")

STEPS = (
    *("--saliency", "gradcam", "--gradcam.model", "shapes", "--gradcam.size", "64"),
    *("--prompt", "none", "--segmenter", "threshold"),
)
"""A recipe that takes some hundredths of a second an image."""

SENTENCE = re.compile(r"^(Error|Usage|Try '|Stopped|Warning)", re.MULTILINE)


def scaled(count: int) -> int:
    """So many attacks of `count`."""
    return max(1, round(count * SHARE))


@dataclass
class Ended:
    """A command that has ended, or was ended because it hung."""

    code: int
    out: str
    err: str
    hung: bool = False


@dataclass
class Tally:
    """What one part of the campaign has found."""

    part: str
    attacks: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def add(self, column: str, what: str, count: int = 1) -> None:
        """Count a fault."""
        assert column in COLUMNS
        if count:
            self.counts[column] += count
            self.faults.append(f"{self.part}, {column}: {what}")

    def look(self, ended: Ended, what: str, codes: tuple[int, ...] = (0, 1, 2)) -> None:
        """Count a hang, a stack trace, a crash, and a failure without a sentence."""
        said = ended.out + ended.err
        if ended.hung:
            self.add("hangs", f"{what}: {said[-300:]}")
        elif "Traceback (most recent call last)" in said:
            self.add("tracebacks", f"{what}: {said[-1500:]}")
        elif ended.code not in codes:
            self.add("tracebacks", f"{what} ends with {ended.code}: {said[-600:]}")
        elif ended.code == 2 and not SENTENCE.search(said):
            self.add("tracebacks", f"{what} says no sentence: {said[-600:]}")

    def check(self) -> None:
        """Fail if anything was counted."""
        assert not self.faults, "\n".join(self.faults)


def photos(folder: Path, count: int) -> tuple[str, ...]:
    """Photos of shapes with masks as a data set; the flags that name it."""
    for image, truth in Shapes(count=count, size=64):
        assert truth is not None
        (folder / "photos").mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(image.pixels).save(folder / f"photos/{image.name}.png")
        write_png(folder / f"masks/{image.name}.png", truth.labels.ids.astype("uint8"))
    return (
        *("--dataset", "folder", "--folder.images", str(folder / "photos")),
        *("--folder.masks", str(folder / "masks"), "--metric", "iou"),
    )


def run_of(data: tuple[str, ...], out: Path, *more: str) -> list[str]:
    """The words of a run with all writers."""
    writers = [word for name in WRITERS for word in ("--write", name)]
    return ["run", *data, *STEPS, *writers, "-o", str(out), *more]
