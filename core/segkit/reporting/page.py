"""What the template is given, and the page that comes out."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from segkit.errors import UsageError
from segkit.plugins.catalog import Catalog
from segkit.reporting.charts import (
    PARTS,
    Fall,
    Scale,
    curves,
    histograms,
    scale_of,
    signed,
    waterfall,
    waterfall_scale,
)
from segkit.reporting.folder import Estimate, Folder, RecipeLosses, Run, finite, steps_of
from segkit.reporting.pictures import Album, make_album
from segkit.reporting.robustness import section, settings

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

WORST = 20
"""How many of a diagnosis's worst images are listed."""

WHISKER = 100
"""Length of an interval's scale in the view box of its SVG."""

FALL = 300
"""Length of a waterfall's scale, from 0 to 1."""


def make_page(folder: Folder, catalog: Catalog) -> str:
    """The page's text."""
    from markupsafe import Markup

    style, script = template_text("report.css"), template_text("report.js")
    rank = _rank(folder)
    files = _files(folder)
    bare = len(_json(_data(folder, Album(), files, rank), Markup))
    album = make_album({name: files[name] for name in _most_telling(folder, files, rank)}, bare)
    fall_scale = waterfall_scale(folder.diagnosis.recipes if folder.diagnosis else [], FALL)
    return template("report.html.j2").render(
        style=Markup(style),
        script=Markup(script),
        style_hash=policy_hash(style),
        script_hash=policy_hash(script),
        folder=folder,
        name=folder.directory.resolve().name,
        run=None if folder.several else folder.runs[0],
        board=_board(folder),
        curves=curves(folder.leaderboard.rows, folder.leaderboard.metric)
        if folder.leaderboard
        else [],
        images=len(folder.images),
        failed=_failed(folder),
        waiting=[run.name for run in folder.runs if run.summary is None],
        scores=_scores(folder, catalog),
        details={} if folder.several else folder.runs[0].details,
        meanings=_meanings(folder, catalog),
        histograms=histograms([(run.name, _ranked(run, rank)) for run in folder.runs]),
        rank=rank,
        falls=_falls(folder, fall_scale),
        fall_scale=fall_scale,
        parts=PARTS,
        robust=section(folder),
        settings=settings,
        worst=sorted(folder.diagnosis.rows, key=lambda r: r.iou)[:WORST]
        if folder.diagnosis
        else [],
        seconds=_seconds(folder),
        steps=[(run, steps_of(run.recipe) if run.recipe else []) for run in folder.runs],
        album=album,
        damaged=[file.relative_to(folder.directory).as_posix() for file in album.damaged],
        pictured=len(files),
        data=_json(_data(folder, album, files, rank), Markup),
        pictures=_json(album.pictures, Markup),
    )


def template(name: str) -> Template:
    """A page's template, with the filters that all pages use."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("segkit.reporting", "templates"),
        autoescape=True,  # names and error sentences come from file names
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = count
    environment.filters["figure"] = figure
    environment.filters["interval"] = interval
    environment.filters["signed"] = signed
    environment.globals["finite"] = finite
    return environment.get_template(name)


def template_text(name: str) -> str:
    """A file beside the templates that goes into a page as it is."""
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")


def figure(value: float | None, name: str = "") -> str:
    """A figure as people read it: shares with four digits, larger ones with two, NaN as –."""
    if value is None or not math.isfinite(value):
        return "–" if value is None or math.isnan(value) else f"{value}"
    text = f"{value:.4f}" if abs(value) <= 1 else f"{value:,.2f}"
    return f"{text} px" if name == "distance" else text


def count(value: float | None) -> str:
    """A whole number with its thousands apart; – where there is none."""
    return "–" if value is None or not math.isfinite(value) else f"{value:,.0f}"


def interval(low: float | None, high: float | None) -> str:
    """An interval in words; empty if there is none."""
    if finite(low) is None or finite(high) is None:
        return ""
    return f"{figure(low)} to {figure(high)}"


def policy_hash(text: str) -> str:
    """What the policy knows a script or style by."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _json(found: Any, markup: type[Markup]) -> Markup:
    """JSON that cannot end the element which it stands in: it holds no <, > or &."""
    text = json.dumps(found, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return markup(text)


# ---- figures ----------------------------------------------------------------------------------


def _rank(folder: Folder) -> str:
    """The score by which images are worse or better: the leaderboard's, or else the IoU."""
    there = dict.fromkeys(
        key for run in folder.runs for line in run.lines.values() for key in line["scores"]
    )
    wanted = [folder.leaderboard.metric] if folder.leaderboard else []
    return next((key for key in (*wanted, "iou", *there) if key in there), "")


def _up(folder: Folder, rank: str) -> bool:
    """Whether more of it is better; known from the leaderboard, and of what is a distance."""
    if folder.leaderboard and folder.leaderboard.metric == rank:
        return folder.leaderboard.higher_is_better
    return not rank.startswith("distance")


def _ranked(run: Run, rank: str) -> list[float]:
    return [line["scores"][rank] for line in run.lines.values() if rank in line["scores"]]


def _board(folder: Folder) -> dict[str, Any] | None:
    """The leaderboard's columns and cells."""
    board = folder.leaderboard
    if board is None or not board.rows:
        return None
    scales = {
        metric: scale_of([row.scores.get(metric, Estimate()) for row in board.rows], WHISKER)
        for metric in board.metrics
    }
    rows = []
    for row in board.rows:
        cells = []
        for metric in board.metrics:
            found, scale = row.scores.get(metric, Estimate()), scales[metric]
            places = [None, None, None]
            if scale is not None:
                ends = (found.low, found.mean, found.high)
                places = [None if finite(v) is None else scale(v) for v in ends]  # type: ignore[arg-type,misc]
            cells.append((metric, found, places))
        rows.append((row, cells, sum(row.seconds.values())))
    return {"metrics": board.metrics, "rows": rows, "first": board.rows[0]}


def _scores(folder: Folder, catalog: Catalog) -> list[tuple[str, float, str]]:
    """A single run's scores with what they are."""
    if folder.several or folder.runs[0].summary is None:
        return []
    run = folder.runs[0]
    assert run.summary is not None
    return [(n, v, _meaning(n, run, catalog)) for n, v in run.summary["scores"].items()]


def _meanings(folder: Folder, catalog: Catalog) -> list[tuple[str, str]]:
    """What the leaderboard's metrics are, where that is known."""
    if folder.leaderboard is None or not folder.runs:
        return []
    found = [(m, _meaning(m, folder.runs[0], catalog)) for m in folder.leaderboard.metrics]
    return [(metric, words) for metric, words in found if words]


def _meaning(score: str, run: Run, catalog: Catalog) -> str:
    """The summary of the metric that a score comes from; its name begins with the metric's."""
    parts = run.recipe.parts.get("metric", ()) if run.recipe else ()
    for part in sorted(parts, key=lambda p: len(p.name), reverse=True):
        short = part.name.rpartition(":")[2]
        if score == short or score.startswith(f"{short}-"):
            try:
                return catalog.find("metric", part.name).summary
            except UsageError:  # it is no longer installed
                return ""
    return ""


def _failed(folder: Folder) -> list[tuple[str, str, str]]:
    """Image, recipes, and why; a sentence that several recipes share stands once."""
    found: dict[tuple[str, str], list[str]] = {}
    for run in folder.runs:
        for line in run.failed:
            found.setdefault((line["name"], str(line.get("error"))), []).append(run.name)
    everyone = len(folder.runs)
    return [
        (name, "all" if len(who) == everyone else ", ".join(who), error)
        for (name, error), who in found.items()
    ]


def _falls(folder: Folder, scale: Scale) -> list[tuple[RecipeLosses, list[Fall]]]:
    """Each diagnosed recipe with the bars of its waterfall."""
    if folder.diagnosis is None:
        return []
    return [(found, waterfall(found, scale)) for found in folder.diagnosis.recipes]


def _seconds(folder: Folder) -> dict[str, Any]:
    """Steps in the order in which they ran, and what each took: a run's in all, or an image."""
    tables = [
        {step: spent / len(run.lines) for step, spent in run.seconds.items()} if run.lines else {}
        for run in folder.runs
    ]
    steps = list(dict.fromkeys(step for table in tables for step in table))
    return {"steps": steps, "tables": tables, "totals": [sum(t.values()) for t in tables]}


# ---- pictures ---------------------------------------------------------------------------------


def _files(folder: Folder) -> dict[str, dict[int, Path]]:
    """Image name to place of the run to its overlay, or else its mask."""
    found: dict[str, dict[int, Path]] = {}
    for place, run in enumerate(folder.runs):
        for line in run.lines.values():
            file = _picture(run.directory, line)
            if file is not None:
                found.setdefault(line["name"], {})[place] = file
    return found


def _picture(directory: Path, line: Mapping[str, Any]) -> Path | None:
    """An image's picture; nothing outside of the run's folder is shown."""
    files = [Path(f) for f in line.get("files", ()) if isinstance(f, str) and "\0" not in f]
    for wanted in ("overlay", "masks"):
        for file in files:
            if file.parts[:-1] == (wanted,) and _is_file(directory / file):
                return directory / file
    return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except UnicodeEncodeError:  # a name that no file can have
        return False


def _most_telling(folder: Folder, names: Sequence[str] | Mapping[str, Any], rank: str) -> list[str]:
    """Names in the order in which their pictures get room.

    In turn the worst, the best, the most differing between recipes; last those without a figure.
    """
    values = {
        name: [
            line["scores"][rank]
            for run in folder.runs
            if (line := run.lines.get(name)) and finite(line["scores"].get(rank)) is not None
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


def _data(
    folder: Folder, album: Album, files: Mapping[str, Mapping[int, Path]], rank: str
) -> dict[str, Any]:
    """What the script works on."""
    failures: dict[str, int] = {}
    images = []
    for name in folder.images:
        by: list[dict[str, Any] | None] = []
        for place, run in enumerate(folder.runs):
            line = run.lines.get(name)
            if line is None:
                by.append(None)
                continue
            file = files.get(name, {}).get(place)
            error = None
            if line["status"] != "ok":
                error = failures.setdefault(str(line.get("error")), len(failures))
            by.append(
                {
                    "rank": finite(line["scores"].get(rank)),
                    "scores": " · ".join(f"{k} {figure(v, k)}" for k, v in line["scores"].items()),
                    "error": error,
                    "link": _link(folder.directory, file) if file else None,
                    "tiles": [[t.title, t.picture] for t in album.tiles.get((name, place), ())],
                }
            )
        images.append({"name": name, "by": by})
    return {
        "recipes": [run.name for run in folder.runs],
        "rank": rank,
        "up": _up(folder, rank),
        "images": images,
        "failures": list(failures),
    }


def _link(directory: Path, file: Path) -> str:
    """A file's address relative to the page; it begins with the name of a folder of ours."""
    return quote(file.relative_to(directory).as_posix(), errors="surrogateescape")
