"""report.html, of a run, sweep, diagnosis or robustness test: what its template is given."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from segkit.comparing.records import Estimate, RecipeLosses
from segkit.plugins.catalog import Catalog
from segkit.plugins.figures import metric_of
from segkit.plugins.steps import Metric
from segkit.reporting.charts import (
    PARTS,
    Fall,
    Scale,
    curves,
    histograms,
    waterfall,
    waterfall_scale,
)
from segkit.reporting.pictures import Album, make_album
from segkit.reporting.recipe_words import steps_of
from segkit.reporting.report_board import board_section
from segkit.reporting.report_figures import figures_of, metrics_of
from segkit.reporting.report_folder import Folder, Run
from segkit.reporting.report_gallery import (
    cards,
    most_telling,
    picture_files,
    reviewed_by,
    script_data,
    with_shown_images,
)
from segkit.reporting.report_robustness import robustness_section, settings
from segkit.reporting.templating import json_in_page, style_and_script, template
from segkit.running.notes import DOUBTFUL
from segkit.running.protocols import caption

WORST = 20
"""How many of a diagnosis's worst images are listed."""

FAILED = 1000
"""So many of the images that failed are listed with why; results.jsonl has all."""

RECIPES = 50
"""Of so many recipes, the best ones, pictures and distributions stand in the page."""

FALL = 300
"""Length of a waterfall's scale, from 0 to 1."""


def make_page(folder: Folder, catalog: Catalog) -> str:
    """The page's text."""
    rank = folder.rank
    shown = with_shown_images(replace(folder, runs=folder.runs[:RECIPES]), rank)
    metrics = metrics_of(folder, catalog)
    figures = figures_of(folder, metrics)
    files = picture_files(shown)
    bare = len(json_in_page(script_data(shown, Album(), files, rank, figures)))
    album = make_album({name: files[name] for name in most_telling(shown, files, rank)}, bare)
    run = None if folder.several else folder.runs[0]
    board, diagnosis = folder.leaderboard, folder.diagnosis
    fall_scale = waterfall_scale(diagnosis.recipes if diagnosis else (), FALL)
    return template("report.html.j2").render(
        style_and_script("report.css", "report.js"),
        folder=folder,
        shown=shown,
        name=folder.directory.resolve().name,
        run=run,
        board=board_section(folder),
        missing=Estimate(),
        curves=curves(board.rows, board.metric) if board else [],
        images=len(folder.images),
        failed=_failed(folder),
        failures=len({name for run in folder.runs for name in run.overview.failed}),
        empty=run.summary.empty if run and run.summary else 0,
        notes=run.summary.notes if run and run.summary else [],
        waiting=[run.name for run in folder.runs if run.summary is None],
        figures=figures,
        protocol=caption(run.summary.protocol) if run and run.summary else "",
        scores=_scores(run, metrics),
        details=run.summary.class_details if run and run.summary else {},
        meanings=_meanings(folder, metrics),
        histograms=histograms([(run.name, _ranked(run, rank)) for run in shown.runs]),
        qualities=histograms([(run.name, run.overview.quality) for run in shown.runs]),
        judged=any(not math.isnan(q) for run in folder.runs for q in run.overview.quality),
        doubtful=DOUBTFUL,
        trust=[one for one in diagnosis.trust if one.judged] if diagnosis else [],
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
        scored=any(run.makes_masks for run in folder.runs),
        data_review=reviewed_by(folder),
        cards=cards(shown, album, files, rank, figures[rank].lower_is_better),
        data=json_in_page(script_data(shown, album, files, rank, figures)),
    )


def _ranked(run: Run, rank: str) -> list[float]:
    return [*run.overview.column(rank)]


def _scores(run: Run | None, metrics: Mapping[type[Metric], str]) -> list[tuple[str, float, str]]:
    """A single run's scores with what they are."""
    if run is None or run.summary is None:
        return []
    return [(n, v, _meaning(n, metrics)) for n, v in run.summary.scores.items()]


def _meanings(folder: Folder, metrics: Mapping[type[Metric], str]) -> list[tuple[str, str]]:
    """What the leaderboard's metrics are, where that is known."""
    if folder.leaderboard is None:
        return []
    meanings = [(m, _meaning(m, metrics)) for m in folder.leaderboard.metrics]
    return [(metric, words) for metric, words in meanings if words]


def _meaning(score: str, metrics: Mapping[type[Metric], str]) -> str:
    """The summary of the metric that a score comes from; empty where that is not known."""
    metric = metric_of(metrics, score)
    return metrics[metric] if metric else ""


def _failed(folder: Folder) -> list[tuple[str, str, str]]:
    """Image, recipes, and why; a sentence that several recipes share stands once.

    Of many images the first `FAILED`.
    """
    names = dict.fromkeys(name for run in folder.runs for name in run.overview.failed)
    listed = {*islice(names, FAILED)}
    recipes: dict[tuple[str, str], list[str]] = {}
    for run in folder.runs:
        for line in (run.lines[name] for name in run.overview.failed if name in listed):
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
        {step: spent / (len(run.lines) or 1) for step, spent in run.overview.seconds.items()}
        for run in folder.runs
    ]
    steps = list(dict.fromkeys(step for table in tables for step in table))
    return {"steps": steps, "tables": tables, "totals": [sum(t.values()) for t in tables]}
