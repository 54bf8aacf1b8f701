"""What all lines of a run come to, gathered in one pass: figures as columns, no line is kept."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from segkit.reporting.charts import finite
from segkit.running.records import MaskRecord, ResultLine

NONE = math.nan
"""Stands in a column for an image that has no such value."""

BARE = -math.inf
"""Stands in the column of sureness for a finished image without a mask."""


def mask_figure(mask: MaskRecord) -> float:
    """How good a mask is: as a judge says, or else the segmenter's own score."""
    return float(mask.score if mask.quality is None else mask.quality)


def sureness(line: ResultLine) -> float | None:
    """How good an image's masks are: as a judge says, or else the least of their scores.

    `BARE` if it is finished and has none, None where it is not known.
    """
    if line.quality is not None:
        return finite(line.quality)
    scores = [mask_figure(mask) for mask in line.masks if mask.pixels]
    if scores:
        return finite(min(scores))
    return BARE if line.ok else None


@dataclass
class Overview:
    """Columns have a value for each image, in the order of the lines."""

    figures: dict[str, array[float]] = field(default_factory=dict)
    """Figure to its column."""
    quality: array[float] = field(default_factory=lambda: array("d"))
    """How good a judge holds the masks for."""
    sureness: array[float] = field(default_factory=lambda: array("d"))
    """See the function of that name."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Step to seconds over all images."""
    failed: list[str] = field(default_factory=list)
    """The names of the images that failed."""
    any_masks: bool = False

    @classmethod
    def of(cls, lines: Mapping[str, ResultLine]) -> Overview:
        """That of a run's lines."""
        overview = cls()
        for name, line in lines.items():
            overview._add(name, line)
        return overview

    def column(self, figure: str) -> Iterator[float]:
        """A figure's values, of the images that have one."""
        return (value for value in self.figures.get(figure, ()) if not math.isnan(value))

    def _add(self, name: str, line: ResultLine) -> None:
        before = len(self.sureness)
        sure = sureness(line)
        self.sureness.append(NONE if sure is None else sure)
        self.quality.append(NONE if line.quality is None else line.quality)
        for figure, value in line.scores.items():
            if figure not in self.figures:
                self.figures[figure] = array("d", [NONE]) * before
            self.figures[figure].append(value)
        for column in self.figures.values():
            if len(column) == before:
                column.append(NONE)
        for step, spent in line.seconds.items():
            self.seconds[step] = self.seconds.get(step, 0) + spent
        if not line.ok:
            self.failed.append(name)
        self.any_masks = self.any_masks or bool(line.masks)
