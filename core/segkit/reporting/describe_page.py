"""The page of `segkit describe`: charts of what a data set holds, and a few of its pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from segkit.errors import SegkitError, UsageError
from segkit.reporting.charts import BINS, Bar, Scale, bars, bin_edges
from segkit.reporting.describe import (
    PROBLEMS,
    SAMPLE_SIDE,
    SIDES,
    Description,
    Sample,
    share,
    spread,
)
from segkit.reporting.pictures import small
from segkit.reporting.templating import style_and_script, template, write_page
from segkit.values.files import write_file
from segkit.values.images import palette
from segkit.values.types import VOID

WIDTH, HEIGHT = 300, 44
"""A chart's size in units of its view box."""


@dataclass(frozen=True)
class Chart:
    """How often a value occurs."""

    title: str
    bars: list[Bar]
    low: float
    high: float
    least: float
    median: float
    mean: float
    greatest: float
    median_x: float

    @property
    def words(self) -> str:
        """The chart in a sentence."""
        return (
            f"{self.title} from {self.least:.4g} to {self.greatest:.4g}, median {self.median:.4g}"
        )


def chart(
    title: str,
    values: Mapping[float, int] | Mapping[int, int],
    *,
    of: str = "image",
    ends: tuple[float, float] | None = None,
) -> Chart | None:
    """A histogram of values that occur so often; None if there are none.

    Whole numbers that lie close together have a bar each. `ends`: of the scale, else the values'
    own.
    """
    summary = spread(values)
    if summary is None:
        return None
    least, greatest = ends or (summary["min"], summary["max"])
    each = greatest == least
    if ends is None and greatest - least < BINS:
        each = each or all(value == int(value) for value in values)
    number = int(greatest - least) + 1 if each else BINS
    low, high = (least - 0.5, greatest + 0.5) if each else (least, greatest)
    edges = bin_edges(low, high, number)
    counts, _ = np.histogram(list(values), edges, weights=list(values.values()))
    labels = [
        f"{least + i:g}" if each else f"{start:.4g} to {end:.4g}"
        for i, (start, end) in enumerate(pairwise(edges.tolist()))
    ]
    labels = [
        f"{label}: {times:,} {of}{'' if times == 1 else 's'}"
        for label, times in zip(labels, counts.tolist(), strict=True)
    ]
    return Chart(
        title,
        bars((counts / counts.max()).tolist(), labels, WIDTH, HEIGHT),
        least,
        greatest,
        summary["min"],
        summary["median"],
        summary["mean"],
        summary["max"],
        Scale(low, high, WIDTH)(summary["median"]),
    )


def charts(description: Description) -> list[Chart]:
    """Sizes, objects an image, and the objects' sides."""
    measures = description.measures
    sides = {step / SIDES: objects for step, objects in description.sides.items()}
    drawn = [
        chart("width in pixels", measures["width"]),
        chart("height in pixels", measures["height"]),
        chart("width / height", measures["aspect"]),
        chart("objects an image", description.objects),
        chart("side of an object", sides, of="object", ends=(0, 1)),
    ]
    return [histogram for histogram in drawn if histogram is not None]


def colour(i: int) -> str:
    """A class's colour as the masks have it."""
    return "#{:02x}{:02x}{:02x}".format(*palette()[i % 256])


def percent(part: float) -> str:
    """A share as people read it; what is there at all is not 0."""
    return "< 0.1 %" if 0 < part < 0.0005 else f"{100 * part:.1f} %"


def picture(sample: Sample) -> tuple[str, str, int, int]:
    """Name, JPEG as base64, width and height of a sample with its truth drawn on."""
    import PIL.Image

    return sample.name, *small(PIL.Image.fromarray(sample.drawn()), SAMPLE_SIDE)


def write_description(path: Path, description: Description) -> None:
    """Write the page, whole or not at all. Raises `OSError` where it cannot be written."""
    page = template("describe.html.j2").render(
        style_and_script("report.css", "describe.css"),
        description=description,
        charts=charts(description),
        groups={
            heading: sorted(of.items(), key=lambda pair: (-pair[1], pair[0]))
            for heading, of in description.groups.items()
            if of
        },
        most=max((tally.pixels for _, tally in description.shown), default=0),
        rests=[
            ("background", None, share(description.background, description.pixels)),
            ("void", colour(VOID), share(description.void, description.pixels)),
        ],
        pictures=[picture(sample) for sample in description.samples],
        problems=sorted(description.problems, key=lambda p: list(PROBLEMS).index(p.problem)),
        titles=PROBLEMS,
        colour=colour,
        percent=percent,
        share=share,
    )
    write_page(path, page)


# ---- files -------------------------------------------------------------------------------------


def files_asked_for(output: str | None) -> list[Path]:
    """The files that `-o` of `segkit describe` means.

    Raises `UsageError`, before any work, where they cannot be written.
    """
    if output is None:
        return []
    path = Path(output)
    if path.suffix.lower() in (".html", ".json") and not path.is_dir():
        files = [path]
    elif path.exists() and not path.is_dir():
        raise UsageError(f"-o {path} is a file; name a folder, or a file that ends in .html, .json")
    else:
        files = [path / "describe.html", path / "describe.json"]
    try:
        files[0].parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"-o {path} cannot be made: {error.strerror or error}; choose another place"
        ) from None
    return files


def write_description_files(description: Description, files: Sequence[Path]) -> None:
    """Write pages and JSON files. Raises `SegkitError` where one cannot be written."""
    for path in files:
        try:
            if path.suffix.lower() == ".json":
                write_file(path, json.dumps(description.to_dict(), indent=2) + "\n")
            else:
                write_description(path, description)
        except OSError as error:
            raise SegkitError(
                f"-o {path} cannot be written: {error.strerror or error}; choose another place"
            ) from None
