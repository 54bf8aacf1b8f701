"""The gallery of the report: which picture an image has, and whose pictures get room.

What the page's script works on, a card for each image, is made here too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import quote

from segkit.kinds import MASK_WRITER, PICTURE_WRITER
from segkit.plugins.figures import Figure
from segkit.reporting.charts import finite
from segkit.reporting.pictures import Album
from segkit.reporting.report_folder import Folder
from segkit.reporting.templating import figure
from segkit.running.records import ResultLine

PICTURED = (PICTURE_WRITER, MASK_WRITER)
"""The folders whose pictures are shown; of an image with several the first one's."""

Files = Mapping[str, Mapping[int, Path]]
"""Image name to place of the run to its picture's file."""


def picture_files(folder: Folder) -> dict[str, dict[int, Path]]:
    """Image name to place of the run to its overlay, or else its mask."""
    files: dict[str, dict[int, Path]] = {}
    for place, run in enumerate(folder.runs):
        for line in run.lines.values():
            file = _picture(run.directory, line)
            if file is not None:
                files.setdefault(line.name, {})[place] = file
    return files


def _picture(directory: Path, line: ResultLine) -> Path | None:
    """An image's picture; nothing outside of the run's folder is shown."""
    files = [Path(f) for f in line.files if isinstance(f, str) and "\0" not in f]
    for wanted in PICTURED:
        for file in files:
            if file.parts[:-1] == (wanted,) and _is_file(directory / file):
                return directory / file
    return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except UnicodeEncodeError:  # a name that no file can have
        return False


def most_telling(folder: Folder, names: Iterable[str], rank: str) -> list[str]:
    """Names in the order in which their pictures get room.

    In turn the worst, the best, the most differing between recipes by the figure `rank`; last those
    without a figure.
    """
    names = list(names)
    values = {
        name: [
            line.scores[rank]
            for run in folder.runs
            if (line := run.lines.get(name)) and finite(line.scores.get(rank)) is not None
        ]
        for name in names
    }
    rated = [name for name in names if values[name]]
    by_mean = sorted(rated, key=lambda n: sum(values[n]) / len(values[n]))
    orders = [by_mean, by_mean[::-1]]
    if len(folder.runs) > 1:
        orders.append(sorted(rated, key=lambda n: min(values[n]) - max(values[n])))
    turns = chain.from_iterable(zip_longest(*orders))
    return list(dict.fromkeys(n for n in (*turns, *names) if n is not None))


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
            by_run.append(
                {
                    "rank": finite(line.scores.get(rank)),
                    "scores": " · ".join(
                        f"{name} {figure(value, figures[name].unit)}"
                        for name, value in line.scores.items()
                    ),
                    "error": error,
                    "link": _link(folder.directory, file) if file else None,
                    "tiles": [[t.title, t.picture] for t in album.tiles.get((name, place), ())],
                }
            )
        images.append({"name": name, "by": by_run})
    return {
        "recipes": [run.name for run in folder.runs],
        "rank": rank,
        "up": not figures[rank].lower_is_better,
        "images": images,
        "failures": list(failures),
    }


def _link(directory: Path, file: Path) -> str:
    """A file's address relative to the page; it begins with the name of a folder of ours."""
    return quote(file.relative_to(directory).as_posix(), errors="surrogateescape")
