"""The gallery of the report: which picture an image has, whose pictures get room, in which order.

The page holds a card for each image with its pictures. Its script sorts, filters and opens them by
what `script_data` says.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import quote

from segkit.kinds import MASK_WRITER, PICTURE_WRITER
from segkit.plugins.figures import Figure
from segkit.reporting.charts import finite
from segkit.reporting.overview import mask_figure
from segkit.reporting.pictures import STRIP, Album
from segkit.reporting.report_folder import Folder, Run
from segkit.reporting.templating import figure
from segkit.running.records import ResultLine
from segkit.values.images import SUFFIXES

PICTURED = (PICTURE_WRITER, MASK_WRITER)
"""The folders whose pictures are shown; of an image with several the first one's."""

SHOWN = 10_000
"""So many images are in the page one by one, so that it stays one that opens."""

NAMED = 3
"""So many classes are named on a card."""

Files = Mapping[str, Mapping[int, Path]]
"""Image name to place of the run to its picture's file."""


def with_shown_images(folder: Folder, rank: str) -> Folder:
    """The folder with the images that the page has room for: of many the most telling ones."""
    if len(folder.images) <= SHOWN:
        return folder
    chosen = {*most_telling(folder, folder.images, rank)[:SHOWN]}
    return replace(folder, chosen=[name for name in folder.images if name in chosen])


def picture_files(folder: Folder) -> dict[str, dict[int, Path]]:
    """Image name to place of the run to its overlay, or else its mask."""
    files: dict[str, dict[int, Path]] = {}
    for place, run in enumerate(folder.runs):
        lines = run.lines
        for name in lines if folder.chosen is None else folder.chosen:
            file = _picture(run.directory, lines[name]) if name in lines else None
            if file is not None:
                files.setdefault(name, {})[place] = file
    return files


def _picture(directory: Path, line: ResultLine) -> Path | None:
    """An image's picture; nothing outside of the run's folder is shown."""
    files = [Path(f) for f in line.files if isinstance(f, str) and "\0" not in f]
    for wanted in PICTURED:
        for file in files:
            inside = file.parts[:1] == (wanted,) and ".." not in file.parts
            if inside and _is_picture(directory / file):
                return directory / file
    return None


def _is_picture(path: Path) -> bool:
    try:
        return path.suffix.lower() in SUFFIXES and path.is_file()
    except UnicodeEncodeError:  # a name that no file can have
        return False


def most_telling(folder: Folder, names: Iterable[str], rank: str) -> list[str]:
    """Names in the order in which they, or their pictures, get room.

    In turn the worst, the best, the most differing between recipes by the figure `rank`, or where
    there is none by the masks' quality or scores; last those without either.
    """
    names = list(names)
    values = {
        name: [value for run in folder.runs if (value := run.standing(name, rank)) is not None]
        for name in names
    }
    rated = [name for name in names if values[name]]
    by_mean = sorted(rated, key=lambda n: sum(values[n]) / len(values[n]))
    orders = [by_mean, by_mean[::-1]]
    if len(folder.runs) > 1:
        orders.append(sorted(rated, key=lambda n: min(values[n]) - max(values[n])))
    turns = chain.from_iterable(zip_longest(*orders))
    return list(dict.fromkeys(n for n in (*turns, *names) if n is not None))


# ---- what is said of masks --------------------------------------------------------------------


def found_in(run: Run, line: ResultLine) -> str:
    """An image's masks in a few words: `tabby 0.93`, `dog ×2, cat 0.71–0.93`, `no mask`.

    What a judge says is called so: `tabby, quality 0.84`.
    """
    masks = [mask for mask in line.masks if mask.pixels]
    if not masks:
        return "no mask" if line.ok and run.makes_masks else ""
    counts = Counter(mask.name or "mask" for mask in masks)
    names = [name if n == 1 else f"{name} ×{n}" for name, n in counts.most_common(NAMED)]
    more = [f"{len(counts) - NAMED} more"] if len(counts) > NAMED else []
    figures = [mask_figure(mask) for mask in masks]
    span = dict.fromkeys((f"{min(figures):.2f}", f"{max(figures):.2f}"))
    judged = ", quality" if line.quality is not None else ""
    return f"{', '.join(names + more)}{judged} {'–'.join(span)}"


# ---- cards ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Card:
    """An image's card as the page holds it before its script takes over."""

    name: str
    tiles: list[tuple[str, int]]
    """Label and place in `Album.pictures`; each picture once, the recipes' own last."""
    marks: list[str]
    link: str | None
    """Its file."""
    wide: bool
    """Whether it gets the room of two."""


def cards(folder: Folder, album: Album, files: Files, rank: str, lower: bool) -> list[Card]:
    """The cards of all images with pictures in the page, as the script orders them at first.

    By the first recipe's figure `rank` the worst first (`lower`: less of it is better), or where
    there is none by the masks' quality or scores the least first.
    """
    pictured = dict.fromkeys(name for name, _ in album.tiles)
    first = folder.runs[0] if folder.runs else None

    def order(name: str) -> tuple[bool, float]:
        value = first.standing(name, rank) if first else None
        return value is None, (value or 0) * (-1 if rank and lower else 1)

    done = {name: place for place, name in enumerate(folder.images)}
    names = sorted(sorted(pictured, key=done.__getitem__), key=order)
    return [_card(folder, album, files, rank, name) for name in names]


def _card(folder: Folder, album: Album, files: Files, rank: str, name: str) -> Card:
    seen: dict[int, tuple[str, list[int]]] = {}
    for place in range(len(folder.runs)):
        for tile in album.tiles.get((name, place), ()):
            seen.setdefault(tile.picture, (tile.title, []))[1].append(place)
    having = {place for _, places in seen.values() for place in places}
    shared, own = [], []
    for picture, (title, places) in seen.items():
        if len(places) == len(having):
            shared.append((title, picture))
        else:
            who = ", ".join(folder.runs[place].name for place in places)
            own.append((" · ".join(filter(None, (who, title))), picture))
    marks = []
    for run in folder.runs:
        if (line := run.lines.get(name)) is None:
            continue
        head = f"{run.name}: " if len(folder.runs) > 1 else ""
        value = finite(line.scores.get(rank))
        said = [f"{rank} {value:.3f}"] if value is not None else []
        said += [found_in(run, line)] if line.ok else ["failed"]
        marks += [head + text for text in said if text]
    links = [_link(folder.directory, file) for file in files.get(name, {}).values()]
    tiles = shared + own
    sizes = [album.pictures[picture][1:] for _, picture in tiles]
    wide = len(tiles) > 3 or any(width > STRIP * height for width, height in sizes)
    return Card(name, tiles, marks, next(iter(links), None), wide)


def script_data(
    folder: Folder, album: Album, files: Files, rank: str, figures: Mapping[str, Figure]
) -> dict[str, Any]:
    """What the page's script works on: recipes, and each image with its line of each of them."""
    failures: dict[str, int] = {}
    images = []
    for name in folder.images:
        by_run: list[dict[str, Any] | None] = []
        for place, run in enumerate(folder.runs):
            line = run.lines.get(name)
            if line is None:
                by_run.append(None)
                continue
            file = files.get(name, {}).get(place)
            error = None if line.ok else failures.setdefault(str(line.error), len(failures))
            tiles = album.tiles.get((name, place), ())
            by_run.append(
                {
                    "rank": finite(line.scores.get(rank)),
                    "sure": run.standing(name, ""),
                    "found": found_in(run, line),
                    "scores": " · ".join(
                        f"{name} {figure(value, figures[name].unit)}"
                        for name, value in line.scores.items()
                    ),
                    "error": error,
                    "link": _link(folder.directory, file) if file else None,
                    "tiles": [[tile.title, tile.picture, tile.role] for tile in tiles],
                }
            )
        images.append({"name": name, "by": by_run})
    return {
        "recipes": [run.name for run in folder.runs],
        "rank": rank,
        "up": not figures[rank].lower_is_better,
        "images": images,
        "failures": list(failures),
        "review": reviewed_by(folder),
    }


def reviewed_by(folder: Folder) -> list[str]:
    """Each run's folder as `segkit review` takes it, seen from where the page's folder lies."""
    name = folder.directory.resolve().name
    places = [f"{name}/recipes/{run.name}" if folder.several else name for run in folder.runs]
    return [shlex.quote(place) for place in places]


def _link(directory: Path, file: Path) -> str:
    """A file's address relative to the page; it begins with the name of a folder of ours."""
    return quote(file.relative_to(directory).as_posix(), errors="surrogateescape")
