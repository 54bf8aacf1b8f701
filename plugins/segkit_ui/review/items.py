"""What there is to decide about, the most doubtful first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from segkit.running.records import ResultLine


@dataclass(frozen=True)
class Item:
    """A mask of the run, or an image in which it found none."""

    image: str
    mask: int | None
    """Its place in the image's line of results.jsonl; None: the image as a whole."""
    name: str | None
    """Its class."""
    quality: float | None
    """What the queue goes by, from 0 to 1: a judge's, else the segmenter's own score."""
    pixels: int | None

    def to_dict(self) -> dict[str, Any]:
        """As the page reads it; the class is `class`."""
        record = asdict(self)
        record["class"] = record.pop("name")
        return record


def doubt(line: ResultLine) -> float:
    """How good an image's masks are together: what the images are sorted by.

    A judge's quality; without one, the mean of the segmenter's scores over the masks' pixels. An
    image without a mask has 0.
    """
    if line.quality is not None:
        return float(line.quality)
    area = sum(mask.pixels for mask in line.masks)
    return sum(float(m.score) * m.pixels for m in line.masks) / area if area else 0.0


def items_of(lines: Iterable[ResultLine]) -> list[Item]:
    """All items of the finished images: the most doubtful image first, and in it the worst mask."""
    items: list[Item] = []
    for line in sorted((line for line in lines if line.ok), key=lambda it: (doubt(it), it.name)):
        own = [
            Item(
                line.name,
                place,
                mask.name,
                float(mask.score if mask.quality is None else mask.quality),
                mask.pixels,
            )
            for place, mask in enumerate(line.masks)
        ]
        own.sort(key=lambda item: (item.quality, item.mask))
        items += own or [Item(line.name, None, None, None, None)]
    return items


def classes_of(items: Iterable[Item], known: Mapping[int, str]) -> list[str]:
    """The class names to choose from: the run's, then those of its masks."""
    names = [*known.values(), *sorted({item.name for item in items if item.name})]
    return list(dict.fromkeys(names))
