"""What a folder's figures mean: the metrics that made them, as far as they can be loaded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import cast

from segkit.errors import SegkitError
from segkit.plugins.catalog import Catalog
from segkit.plugins.figures import Figure, figure_of
from segkit.plugins.steps import Metric
from segkit.reporting.report_folder import Folder


def metrics_of(folder: Folder, catalog: Catalog) -> dict[type[Metric], str]:
    """The recipes' metrics with what they are; without those that cannot be loaded any more."""
    recipes = [run.recipe for run in folder.runs if run.recipe]
    names = dict.fromkeys(part.name for r in recipes for part in r.parts.get("metric", ()))
    metrics: dict[type[Metric], str] = {}
    for name in names:
        with suppress(SegkitError):
            entry = catalog.find("metric", name)
            metrics[cast("type[Metric]", catalog.load_entry(entry))] = entry.summary
    return metrics


def figures_of(folder: Folder, metrics: Iterable[type[Metric]]) -> Mapping[str, Figure]:
    """Whether less of each figure is better, and its unit, by the figure's name.

    That is told by the summaries. Where they do not, for a run has not finished or is of an older
    version, the metrics do.
    """
    board = folder.leaderboard
    names = dict.fromkeys(board.metrics if board else ())
    for run in folder.runs:
        names |= dict.fromkeys(run.overview.figures)
    metrics = list(metrics)
    figures = defaultdict(Figure, {name: figure_of(metrics, name) for name in names})
    for run in folder.runs:
        figures |= run.summary.figures if run.summary else {}
    if board:
        lower = not board.higher_is_better
        figures[board.metric] = replace(figures[board.metric], lower_is_better=lower)
    return figures
