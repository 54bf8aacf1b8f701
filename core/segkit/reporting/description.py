"""The page of `segkit describe`: charts of what a data set holds, and a few of its pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from segkit.reporting.charts import BINS, Bar, Scale
from segkit.reporting.describe import (
    PROBLEMS,
    SAMPLE_SIDE,
    SIDES,
    Description,
    Sample,
    share,
    spread,
)
from segkit.reporting.page import policy_hash, template, template_text
from segkit.reporting.pictures import small
from segkit.running.folder import write_text
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
    found = spread(values)
    if found is None:
        return None
    least, greatest = ends or (found["min"], found["max"])
    each = greatest == least
    if ends is None and greatest - least < BINS:
        each = each or all(value == int(value) for value in values)
    bins = int(greatest - least) + 1 if each else BINS
    low, high = (least - 0.5, greatest + 0.5) if each else (least, greatest)
    counts = [0] * bins
    for value, times in values.items():
        place = (value - low) / (high - low) if high > low else 0.5
        counts[min(int(place * bins), bins - 1)] += times
    step, across = (high - low) / bins, WIDTH / bins
    bars = []
    for i, times in enumerate(counts):
        if times:
            start = low + i * step
            where = f"{least + i:g}" if each else f"{start:.4g} to {start + step:.4g}"
            plural = "" if times == 1 else "s"
            bars.append(
                Bar(
                    round(i * across + 0.5, 2),
                    round(across - 1, 2),
                    round(times / max(counts) * HEIGHT, 2),
                    f"{where}: {times:,} {of}{plural}",
                )
            )
    return Chart(
        title,
        bars,
        least,
        greatest,
        found["min"],
        found["median"],
        found["mean"],
        found["max"],
        Scale(low, high, WIDTH)(found["median"]),
    )


def charts(found: Description) -> list[Chart]:
    """Sizes, objects an image, and the objects' sides."""
    measures = found.measures
    sides = {step / SIDES: objects for step, objects in found.sides.items()}
    made = [
        chart("width in pixels", measures["width"]),
        chart("height in pixels", measures["height"]),
        chart("width / height", measures["aspect"]),
        chart("objects an image", found.objects),
        chart("side of an object", sides, of="object", ends=(0, 1)),
    ]
    return [one for one in made if one is not None]


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


def write_description(path: Path, found: Description) -> None:
    """Write the page, whole or not at all. Raises `OSError` where it cannot be written."""
    from markupsafe import Markup

    style = template_text("report.css") + template_text("describe.css")
    problems = sorted(found.problems, key=lambda one: list(PROBLEMS).index(one.problem))
    page = template("describe.html.j2").render(
        style=Markup(style),
        style_hash=policy_hash(style),
        found=found,
        charts=charts(found),
        groups={
            heading: sorted(of.items(), key=lambda pair: (-pair[1], pair[0]))
            for heading, of in found.groups.items()
            if of
        },
        most=max((tally.pixels for _, tally in found.shown), default=0),
        rests=[
            ("background", None, share(found.background, found.pixels)),
            ("void", colour(VOID), share(found.void, found.pixels)),
        ],
        pictures=[picture(sample) for sample in found.samples],
        problems=problems,
        titles=PROBLEMS,
        colour=colour,
        percent=percent,
        share=share,
    )
    # File names may hold bytes that are no text; UTF-8 cannot write those.
    write_text(path, page.encode("utf-8", "replace").decode("utf-8"))
