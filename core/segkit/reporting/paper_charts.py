"""figures/: every chart of the page as SVG, PDF and PNG, for a paper.

What is drawn has the page's geometry (`charts`, `report_robustness`); Matplotlib draws it. Texts
stay texts in SVG and PDF, and the same folder gives the same files.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from segkit.comparing.records import Estimate, LeaderboardFile, RecipeLosses
from segkit.errors import MissingExtraError
from segkit.plugins.figures import Figure
from segkit.reporting.charts import (
    Curve,
    curves,
    histograms,
    signed,
    waterfall,
    waterfall_scale,
)
from segkit.reporting.report_folder import Folder
from segkit.reporting.report_robustness import HEIGHT, WIDTH, Chart, robustness_charts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

FORMATS = ("svg", "pdf", "png")

COLUMN = 6.5
"""Width of a figure in inches: the text of a usual page."""

DOTS = 200
"""Dots an inch, of PNG."""

HUES = ("#2563a8", "#c2571a", "#1f7a5c", "#a3308f", "#6b7785", "#b42318")
"""The page's colours of lines, in their order."""

PART_HUES = {
    **{"whole": HUES[0], "iou": HUES[0], "segmenter": HUES[4]},
    **{"placement": HUES[1], "saliency": HUES[3], "selection": HUES[2]},
}
"""The page's colours of a waterfall's parts."""

STYLE = {
    **{"svg.fonttype": "none", "svg.hashsalt": "segkit", "pdf.fonttype": 42},
    **{"text.parse_math": False, "font.size": 8, "axes.titlesize": 8, "figure.labelsize": 8},
    **{"axes.spines.top": False, "axes.spines.right": False},
}
"""Texts stay texts; a `$` in a name is no formula."""


def charts_of(folder: Folder, figures: Mapping[str, Figure]) -> Iterator[tuple[str, Drawing]]:
    """Each chart that the folder's page has, with the name of its files; within `style`.

    `figures`: whether less of each figure is better, and its unit.
    """
    board = folder.leaderboard
    if board is not None and board.rows and board.metric:
        yield "leaderboard", _leaderboard(board, figures[board.metric])
        for one in curves(board.rows, board.metric):
            yield f"curve-{one.option}", _option(one, board.metric)
    if folder.diagnosis is not None and folder.diagnosis.recipes:
        yield "losses", _losses(folder.diagnosis.recipes)
    distribution = _distribution(folder, folder.rank)
    if distribution is not None:
        yield "distribution", distribution
    if folder.robustness is not None:
        figure, chains = robustness_charts(folder.robustness)
        if figure:
            yield "robustness", _grid(figure, folder.robustness.figure)
        for recipe, chain in chains:
            if chain:
                alone = len(chains) == 1
                yield "chain" if alone else f"chain-{recipe}", _grid(chain, "way over the limit")


def new_figure(width: float = COLUMN, height: float = 3) -> Drawing:
    """An empty figure of this size in inches."""
    from matplotlib.figure import Figure as Drawing

    return Drawing(figsize=(width, height), layout="constrained")


def saved(drawing: Drawing, suffix: str) -> bytes:
    """A figure as the content of a file; the same figure gives the same bytes."""
    said = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # a name in another script
        drawing.savefig(content, format=suffix, dpi=DOTS, metadata=said[suffix])
    return content.getvalue()


@contextmanager
def style() -> Iterator[None]:
    """Figures are made and saved in it. Raises `MissingExtraError` without Matplotlib."""
    try:
        import matplotlib
    except ImportError:
        raise MissingExtraError("segkit report --figures", "matplotlib", "figures") from None
    with matplotlib.rc_context(STYLE):
        yield


# ---- one chart each ------------------------------------------------------------------------------


def _axes(drawing: Drawing, rows: int = 1, columns: int = 1) -> list[Axes]:
    return list(drawing.subplots(rows, columns, squeeze=False).flat)


def _leaderboard(board: LeaderboardFile, figure: Figure) -> Drawing:
    """Each recipe's figure with its interval, the best on top; a ring for each seed."""
    drawing = new_figure(height=0.9 + 0.28 * len(board.rows))
    (axes,) = _axes(drawing)
    for place, row in enumerate(board.rows):
        score = row.scores.get(board.metric, Estimate())
        if math.isfinite(score.low) and math.isfinite(score.high):
            axes.plot([score.low, score.high], [place, place], color=HUES[0], linewidth=1.5)
        axes.plot([score.mean], [place], "o", color=HUES[0], markersize=5)
        spread = row.seeds.get(board.metric)
        by_seed = list(spread.figures.values()) if spread else []
        axes.plot(by_seed, [place] * len(by_seed), "o", mfc="none", color=HUES[1], markersize=4)
    axes.set_yticks(range(len(board.rows)), [row.recipe for row in board.rows])
    axes.set_ylim(len(board.rows) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)
    rings = f"; rings: seeds {', '.join(map(str, board.seeds))}" if board.seeds else ""
    better = ", less is better" if figure.lower_is_better else ""
    unit = f" ({figure.unit})" if figure.unit else ""
    axes.set_xlabel(f"{board.metric}{unit}{better}, 95 % interval over images{rings}")
    return drawing


def _option(chart: Any, metric: str) -> Drawing:
    drawing = new_figure()
    (axes,) = _axes(drawing)
    _draw_curves(axes, chart.curves, chart.ticks, (chart.low, chart.high), 140)
    axes.set_xlabel(chart.option)
    axes.set_ylabel(f"{metric}, 95 % intervals")
    if len(chart.curves) > 1:
        axes.legend(frameon=False)
    return drawing


def _losses(recipes: Sequence[RecipeLosses]) -> Drawing:
    """From a perfect 1 down to each recipe's IoU."""
    columns = min(2, len(recipes))
    rows = math.ceil(len(recipes) / columns)
    drawing = new_figure(height=0.3 + 1.6 * rows)
    width = 300
    scale = waterfall_scale(recipes, width)
    places = _axes(drawing, rows, columns)
    for axes in places[len(recipes) :]:
        axes.set_axis_off()
    for axes, recipe in zip(places, recipes, strict=False):
        bars = waterfall(recipe, scale)
        for place, bar in enumerate(bars):
            hue = PART_HUES[bar.part]
            gain: dict[str, Any] = {"alpha": 0.35, "hatch": "//"} if bar.value < 0 else {}
            axes.barh(place, max(bar.width, 1), left=bar.x, color=hue, height=0.7, **gain)
            whole = bar.part in ("whole", "iou")
            text = f"{bar.value:.3f}" if whole else signed(-bar.value)
            axes.text(bar.x + bar.width + 6, place, text, va="center")
        axes.set_yticks(range(len(bars)), [bar.title for bar in bars])
        axes.set_ylim(len(bars) - 0.5, -0.5)
        axes.set_xlim(0, width * 1.2)
        axes.set_xticks([0, scale(1)], [f"{scale.low:g}", "1"])
        axes.set_title(recipe.recipe)
    return drawing


def _distribution(folder: Folder, rank: str) -> Drawing | None:
    """How many images have which figure, recipe by recipe."""
    values = [(run.name, [*run.overview.column(rank)]) for run in folder.runs]
    charts, low, high = histograms(values)
    if not charts:
        return None
    drawing = new_figure(height=0.5 + 0.8 * len(charts))
    places = _axes(drawing, len(charts))
    for axes, one in zip(places, charts, strict=True):
        for bar in one.bars:
            axes.bar(bar.x, bar.height, width=bar.width, align="edge", color=HUES[0])
        axes.axvline(one.median_x, color=HUES[5], linewidth=1.5)
        axes.set_xlim(0, 300)
        axes.set_ylim(0, 46)
        axes.set_yticks([])
        axes.set_xticks([0, 150, 300], [f"{low:g}", f"{(low + high) / 2:g}", f"{high:g}"])
        axes.set_title(f"{one.recipe}: {one.count} images", loc="left")
    places[-1].set_xlabel(f"{rank}; upright: the median")
    return drawing


def _grid(charts: Sequence[Chart], label: str) -> Drawing:
    """A chart for each kind of damage, side by side."""
    columns = min(3, len(charts))
    rows = math.ceil(len(charts) / columns)
    drawing = new_figure(height=0.5 + 1.7 * rows)
    places = _axes(drawing, rows, columns)
    for axes in places[len(charts) :]:
        axes.set_axis_off()
    for axes, chart in zip(places, charts, strict=False):
        _draw_curves(axes, chart.curves, chart.ticks, (chart.low, chart.high), HEIGHT)
        axes.set_xlim(0, WIDTH)
        if chart.limit is not None:
            axes.axhline(chart.limit, color=HUES[5], linestyle="--", linewidth=1)
        axes.set_title(chart.title)
    handles, names = places[0].get_legend_handles_labels()
    if len(names) > 1:
        drawing.legend(handles, names, loc="outside upper center", ncols=4, frameon=False)
    drawing.supxlabel("level of damage")
    drawing.supylabel(label)
    return drawing


def _draw_curves(
    axes: Axes,
    drawn: Sequence[Curve],
    ticks: Sequence[tuple[float, str]],
    ends: tuple[float, float],
    height: float,
) -> None:
    """Curves in the page's units, y down from 0 to `height`; `ends`: what stands there."""
    from matplotlib.ticker import MaxNLocator

    for place, one in enumerate(drawn):
        hue = HUES[place % len(HUES)]
        if one.band:
            corners = [tuple(map(float, pair.split(","))) for pair in one.band.split()]
            axes.fill([x for x, _ in corners], [y for _, y in corners], color=hue, alpha=0.15, lw=0)
        points = [(x, y) for x, y, _ in one.points]
        axes.plot(
            [x for x, _ in points], [y for _, y in points], "o-", color=hue, ms=3, label=one.rest
        )
    low, high = ends
    axes.set_ylim(height * 1.04, -height * 0.04)
    values = [v for v in MaxNLocator(5).tick_values(low, high) if low <= v <= high] or [low]
    span = high - low
    axes.set_yticks(
        [height * (1 - (v - low) / span) if span else height / 2 for v in values],
        [f"{v:.4g}" for v in values],
    )
    axes.set_xticks([x for x, _ in ticks], [text for _, text in ticks])
