"""report.html, of a run, sweep, diagnosis or robustness test: what its template is given."""

from __future__ import annotations

from typing import Any

from segkit.comparing.records import Estimate, RecipeLosses
from segkit.errors import UsageError
from segkit.kinds import MAIN_FIGURE
from segkit.plugins.catalog import Catalog
from segkit.reporting.charts import (
    PARTS,
    WHISKER,
    Fall,
    Scale,
    curves,
    histograms,
    scale_of,
    waterfall,
    waterfall_scale,
    whisker,
)
from segkit.reporting.pictures import Album, make_album
from segkit.reporting.recipe_words import steps_of
from segkit.reporting.report_folder import Folder, Run
from segkit.reporting.report_gallery import most_telling, picture_files, script_data
from segkit.reporting.report_robustness import robustness_section, settings
from segkit.reporting.templating import json_in_page, style_and_script, template

WORST = 20
"""How many of a diagnosis's worst images are listed."""

FALL = 300
"""Length of a waterfall's scale, from 0 to 1."""


def make_page(folder: Folder, catalog: Catalog) -> str:
    """The page's text."""
    rank = _rank(folder)
    up = _higher_is_better(folder, rank)
    files = picture_files(folder)
    bare = len(json_in_page(script_data(folder, Album(), files, rank, up)))
    album = make_album({name: files[name] for name in most_telling(folder, files, rank)}, bare)
    run = None if folder.several else folder.runs[0]
    board, diagnosis = folder.leaderboard, folder.diagnosis
    fall_scale = waterfall_scale(diagnosis.recipes if diagnosis else (), FALL)
    return template("report.html.j2").render(
        style_and_script("report.css", "report.js"),
        folder=folder,
        name=folder.directory.resolve().name,
        run=run,
        board=_board(folder),
        curves=curves(board.rows, board.metric) if board else [],
        images=len(folder.images),
        failed=_failed(folder),
        waiting=[run.name for run in folder.runs if run.summary is None],
        scores=_scores(run, catalog),
        details=run.summary.class_details if run and run.summary else {},
        meanings=_meanings(folder, catalog),
        histograms=histograms([(run.name, _ranked(run, rank)) for run in folder.runs]),
        rank=rank,
        falls=_falls(folder, fall_scale),
        fall_scale=fall_scale,
        parts=PARTS,
        robust=robustness_section(folder),
        settings=settings,
        worst=sorted(diagnosis.rows, key=lambda row: row.iou)[:WORST] if diagnosis else [],
        seconds=_seconds(folder),
        steps=[(run, steps_of(run.recipe) if run.recipe else []) for run in folder.runs],
        album=album,
        damaged=[file.relative_to(folder.directory).as_posix() for file in album.damaged],
        pictured=len(files),
        data=json_in_page(script_data(folder, album, files, rank, up)),
        pictures=json_in_page(album.pictures),
    )


def _rank(folder: Folder) -> str:
    """The score by which images are worse or better: the leaderboard's, or else the IoU."""
    known = dict.fromkeys(
        score for run in folder.runs for line in run.lines.values() for score in line.scores
    )
    wanted = [folder.leaderboard.metric] if folder.leaderboard else []
    return next((score for score in (*wanted, MAIN_FIGURE, *known) if score in known), "")


def _higher_is_better(folder: Folder, rank: str) -> bool:
    """Whether more of it is better; known from the leaderboard, and of what is a distance."""
    if folder.leaderboard and folder.leaderboard.metric == rank:
        return folder.leaderboard.higher_is_better
    return not rank.startswith("distance")


def _ranked(run: Run, rank: str) -> list[float]:
    return [line.scores[rank] for line in run.lines.values() if rank in line.scores]


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
            score = row.scores.get(metric, Estimate())
            cells.append((metric, score, whisker(score, scales[metric])))
        rows.append((row, cells, sum(row.seconds.values())))
    return {"metrics": board.metrics, "rows": rows, "first": board.rows[0]}


def _scores(run: Run | None, catalog: Catalog) -> list[tuple[str, float, str]]:
    """A single run's scores with what they are."""
    if run is None or run.summary is None:
        return []
    return [(n, v, _meaning(n, run, catalog)) for n, v in run.summary.scores.items()]


def _meanings(folder: Folder, catalog: Catalog) -> list[tuple[str, str]]:
    """What the leaderboard's metrics are, where that is known."""
    if folder.leaderboard is None or not folder.runs:
        return []
    meanings = [(m, _meaning(m, folder.runs[0], catalog)) for m in folder.leaderboard.metrics]
    return [(metric, words) for metric, words in meanings if words]


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
    recipes: dict[tuple[str, str], list[str]] = {}
    for run in folder.runs:
        for line in run.failed:
            recipes.setdefault((line.name, str(line.error)), []).append(run.name)
    everyone = len(folder.runs)
    return [
        (image, "all" if len(names) == everyone else ", ".join(names), error)
        for (image, error), names in recipes.items()
    ]


def _falls(folder: Folder, scale: Scale) -> list[tuple[RecipeLosses, list[Fall]]]:
    """Each diagnosed recipe with the bars of its waterfall."""
    if folder.diagnosis is None:
        return []
    return [(recipe, waterfall(recipe, scale)) for recipe in folder.diagnosis.recipes]


def _seconds(folder: Folder) -> dict[str, Any]:
    """Steps in the order in which they ran, and what each took: a run's in all, or an image."""
    tables = [
        {step: spent / len(run.lines) for step, spent in run.seconds.items()} if run.lines else {}
        for run in folder.runs
    ]
    steps = list(dict.fromkeys(step for table in tables for step in table))
    return {"steps": steps, "tables": tables, "totals": [sum(t.values()) for t in tables]}
