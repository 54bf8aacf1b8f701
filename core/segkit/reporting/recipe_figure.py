"""figures/recipes.png, .svg and .pdf: some images, each beside what every recipe made of it.

Columns are the image, the heatmap, the heatmap over the image, a mask for each recipe, and the
truth; the pictures are those that the run left in overlay/. SVG and PDF hold the same pictures and
places, with their words as text.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from segkit.errors import BadImageError, UsageError, did_you_mean
from segkit.kinds import PICTURE_WRITER
from segkit.reporting.paper_charts import new_figure, saved, style
from segkit.reporting.pictures import panels
from segkit.reporting.report_folder import Folder
from segkit.reporting.report_gallery import Files, most_telling, picture_files
from segkit.reporting.templating import figure, template

if TYPE_CHECKING:
    import PIL.Image
    import PIL.ImageFont

WIDTH = 240
"""The greatest sides of a picture, in pixels."""

GAP, LINE, FONT = 12, 20, 14
"""Between pictures, for a line of text, and its size; in pixels."""

SHARED = ("image", "heatmap", "overlay")
"""What the titles of the panels begin with that stand before the masks; all recipes share them."""

MASK, TRUTH = "mask", "truth"
"""Likewise of those that each recipe has, and of the last."""


@dataclass(frozen=True)
class Cell:
    """A place in the figure."""

    caption: str = ""
    picture: PIL.Image.Image | None = None


@dataclass
class Sheet:
    """Where everything stands, in pixels from the upper left."""

    size: tuple[int, int]
    """Width and height."""
    words: list[tuple[int, int, str]] = field(default_factory=list)
    """x of its middle, y of its upper edge, and the text."""
    pictures: list[tuple[int, int, PIL.Image.Image]] = field(default_factory=list)


def recipe_figure(folder: Folder, rows: int = 4, images: Sequence[str] = ()) -> dict[str, bytes]:
    """The figure as the content of files, by their suffix: png, svg, pdf.

    `rows` is how many images there are at most, in turn the worst, the best and the one on which
    recipes differ most; `images` names them, in order, in place of that. Heatmap and overlay are
    those of the first recipe that has some. Raises `UsageError` where there is no picture, or none
    of a named image, `MissingExtraError` without Matplotlib.
    """
    files = picture_files(folder)
    if not files:
        raise UsageError(
            f"'{folder.directory}' holds no pictures to make a figure of; run it again with the "
            f"writer {PICTURE_WRITER} (--write {PICTURE_WRITER})"
        )
    for name in images:
        if name not in files:
            hint = did_you_mean(name, list(files), "see the page for those that there are")
            raise UsageError(f"--image {name}: the folder has no picture of it; {hint}")
    names = images or most_telling(folder, files, folder.rank)[:rows]
    heads, cells = _table(folder, files, names)
    sheet = _laid_out(heads, cells)
    return {"png": _png(sheet), "svg": _svg(sheet), "pdf": _pdf(sheet)}


def _table(
    folder: Folder, files: Files, names: Sequence[str]
) -> tuple[list[str], list[list[Cell]]]:
    """The head of each column, and a row of cells for each image; empty columns are left out."""
    rows = []
    for name in names:
        seen = {place: dict(_panels(file)) for place, file in files[name].items()}
        first: dict[str, PIL.Image.Image] = {}
        for panel in seen.values():
            first = {**panel, **first}
        row = [Cell(name if what == "image" else "", first.get(what)) for what in SHARED]
        for place, run in enumerate(folder.runs):
            line = run.lines.get(name)
            value = line.scores.get(folder.rank) if line else None
            caption = "" if value is None else f"{folder.rank} {figure(value)}"
            failed = line is not None and not line.ok
            picture = seen.get(place, {}).get(MASK)
            row.append(Cell("failed" if failed else caption, picture))
        rows.append([*row, Cell("", first.get(TRUTH))])
    heads = [*SHARED, *(run.name for run in folder.runs), TRUTH]
    kept = [
        place
        for place in range(len(heads))
        if any(row[place].picture or row[place].caption == "failed" for row in rows)
    ]
    return [heads[i] for i in kept], [[row[i] for i in kept] for row in rows]


def _panels(file: Path) -> Iterator[tuple[str, PIL.Image.Image]]:
    """What each panel of a file shows, and the picture; the first of several that show the same.

    A picture without panels, such as a mask alone, is a mask. A damaged file has none.
    """
    import PIL.Image

    try:
        titled = panels(file, WIDTH)
    except BadImageError:
        return
    for title, picture, _ in reversed(titled):
        what = next((w for w in (*SHARED, MASK, TRUTH) if title.startswith(w)), None)
        if what is None and not title:
            what = MASK
        if what is not None:
            smaller = picture.convert("RGB")
            smaller.thumbnail((WIDTH, WIDTH), PIL.Image.Resampling.LANCZOS)
            yield what, smaller


def _laid_out(heads: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Sheet:
    """The table, with each column's head above it and each picture's caption below it."""
    heights = [max([LINE, *(c.picture.height for c in row if c.picture)]) for row in rows]
    height = GAP + LINE + sum(h + LINE + GAP for h in heights)
    sheet = Sheet((GAP + len(heads) * (WIDTH + GAP), height))
    middles = [GAP + place * (WIDTH + GAP) + WIDTH // 2 for place in range(len(heads))]
    sheet.words += [(x, GAP, _cut(head)) for x, head in zip(middles, heads, strict=True)]
    top = GAP + LINE
    for row, tall in zip(rows, heights, strict=True):
        for x, cell in zip(middles, row, strict=True):
            if cell.picture is not None:
                room = tall - cell.picture.height
                sheet.pictures.append((x - cell.picture.width // 2, top + room // 2, cell.picture))
            if cell.caption:
                sheet.words.append((x, top + tall + 2, _cut(cell.caption)))
        top += tall + LINE + GAP
    return sheet


def _cut(text: str) -> str:
    """A text in one line that is no wider than a picture, of printable signs."""
    font = _font()
    text = "".join(sign if sign.isprintable() else "?" for sign in text)
    if font.getlength(text) <= WIDTH:
        return text
    while text and font.getlength(f"{text}…") > WIDTH:
        text = text[:-1]
    return f"{text}…"


def _font() -> PIL.ImageFont.FreeTypeFont | PIL.ImageFont.ImageFont:
    import PIL.ImageFont

    return PIL.ImageFont.load_default(FONT)


def _png(sheet: Sheet) -> bytes:
    import PIL.Image
    import PIL.ImageDraw

    picture = PIL.Image.new("RGB", sheet.size, "white")
    draw = PIL.ImageDraw.Draw(picture)
    font = _font()
    for x, y, text in sheet.words:
        draw.text((x - font.getlength(text) / 2, y), text, (32, 32, 32), font)
    for x, y, some in sheet.pictures:
        picture.paste(some, (x, y))
    return _packed(picture)


def _svg(sheet: Sheet) -> bytes:
    pictures = [
        (x, y, some.width, some.height, base64.b64encode(_packed(some)).decode("ascii"))
        for x, y, some in sheet.pictures
    ]
    text = template("figure.svg.j2").render(
        width=sheet.size[0],
        height=sheet.size[1],
        font=FONT,
        words=sheet.words,
        pictures=pictures,
    )
    return text.encode()


def _pdf(sheet: Sheet) -> bytes:
    """The sheet at 96 pixels an inch."""
    width, height = sheet.size
    with style():
        drawing = new_figure(width / 96, height / 96)
        drawing.set_layout_engine("none")
        axes = drawing.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        for x, y, text in sheet.words:
            points = FONT * 72 / 96
            axes.text(x, y + FONT, text, ha="center", va="baseline", size=points, color="#202020")
        for x, y, some in sheet.pictures:
            axes.imshow(some, extent=(x, x + some.width, y + some.height, y), interpolation="none")
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        axes.set_aspect("auto")
        return saved(drawing, "pdf")


def _packed(picture: PIL.Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, "PNG", optimize=True)
    return content.getvalue()
