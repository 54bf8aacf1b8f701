"""Leaderboards, diagnoses and what recipes bear, as a terminal shows them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from segkit.cli.console import Console
from segkit.kinds import SHOWN_FIGURES

if TYPE_CHECKING:
    from segkit.comparing.leaderboard import Leaderboard
    from segkit.comparing.records import Diagnosis, Estimate
    from segkit.comparing.robustness_records import Robustness

GIVES_WAY = ("heat", "prompt", "mask")
"""Columns for the level at which each stage gives way."""

MOST = 12
"""So many verdicts are printed; all of them are in leaderboard.json."""


def print_leaderboard(board: Leaderboard, directory: Path, page: Path | None) -> None:
    """The recipes, best first, and what can be said about them."""
    from segkit.reporting.chain import common_chain
    from segkit.running.protocols import caption

    console = Console()
    many = len(board.rows)
    plural = "" if board.images == 1 else "s"
    console.print(f"{many} recipe{'' if many == 1 else 's'} on {board.images} image{plural}")
    if board.seeds:
        seeds = ", ".join(map(str, board.seeds))
        console.print(f"figures are means over the seeds {seeds}; ±: standard deviation over them")
    chain, _ = common_chain([row.words for row in board.rows])
    if chain:
        console.print(chain, style="dim")
    console.print(_leaderboard_table(board))
    if counted := caption(board.protocol, _shown(board)):
        console.print(counted, style="dim")
    verdicts = board.verdicts()
    for sentence in verdicts[:MOST]:
        console.print(sentence)
    if len(verdicts) > MOST:
        console.print(f"… and {len(verdicts) - MOST} more in leaderboard.json")
    for note in filter(None, (board.caution, *board.notes)):
        console.print(note, style="dim")
    if board.failed:
        console.print(f"{len(board.failed)} images failed and are left out for all recipes")
    for one in board.skipped:
        console.print(f"left out: {one['recipe']}: {one['reason']}", style="dim")
    print_places(console, directory, page)


def _leaderboard_table(board: Leaderboard) -> Table:
    """A row a recipe: the figure that it is sorted by with its reach, two others, the time."""
    extras = [metric for metric in _shown(board) if metric != board.metric]
    units = {metric: figure.unit for metric, figure in board.figures.items() if figure.unit}
    heads = {metric: f"{metric} ({unit})" for metric, unit in units.items()}
    table = Table(box=None, pad_edge=False)
    table.add_column("recipe", style="cyan", overflow="fold")
    if board.metric:
        table.add_column(heads.get(board.metric, board.metric), justify="right")
        if board.seeds:
            table.add_column("± seeds", justify="right")
        table.add_column("95 % interval", justify="right")
    for metric in extras:
        table.add_column(heads.get(metric, metric), justify="right")
    table.add_column("s/image", justify="right", style="dim")
    for row in board.rows:
        score = row.scores.get(board.metric)
        cells = [row.recipe]
        if board.metric:
            cells.append(_figure(score))
            if board.seeds:
                spread = row.seeds.get(board.metric)
                cells.append(_short(spread.deviation if spread else math.nan))
            cells.append(_reach(score))
        cells += [_figure(row.scores.get(metric)) for metric in extras]
        table.add_row(*cells, f"{sum(row.seconds.values()):.2f}")
    return table


def _shown(board: Leaderboard) -> list[str]:
    """The figures that the table has room for: the one that it is sorted by, and two more."""
    made = [metric for row in board.rows for metric in row.scores]
    first = [metric for metric in SHOWN_FIGURES if metric in made]
    extras = [m for m in dict.fromkeys([*first, *made]) if m != board.metric][:2]
    return [board.metric, *extras] if board.metric else extras


def print_diagnosis(diagnosis: Diagnosis, directory: Path, page: Path | None) -> None:
    """Each recipe's losses, what they mean, and the images that lose most."""
    console = Console()
    if not diagnosis.recipes:
        console.print("no image with a true object was finished, so there is nothing to diagnose")
    table = Table(box=None, pad_edge=False)
    table.add_column("recipe", style="cyan", overflow="fold")
    for title in ("iou", "selection", "saliency", "placement", "segmenter", "true box"):
        table.add_column(title, justify="right")
    for recipe in diagnosis.recipes:
        losses = (recipe.selection, recipe.saliency, recipe.placement, recipe.segmenter)
        table.add_row(
            recipe.recipe,
            f"{recipe.iou:.3f}",
            *(f"{-loss:+.3f}" for loss in losses),
            f"{recipe.true_box:.3f}",
        )
    if diagnosis.recipes:
        console.print("what stands between 1 and each recipe's IoU (mean over images)")
        console.print(table)
    for recipe in diagnosis.recipes[:3]:
        console.print(recipe.reading)
    _print_trust(console, diagnosis)
    worst = Table(box=None, pad_edge=False, title="the worst images", title_justify="left")
    for title in ("image", "recipe"):
        worst.add_column(title, style="cyan", overflow="fold")
    for title in ("iou", "lost to"):
        worst.add_column(title, justify="right")
    for loss in diagnosis.rows[:5]:
        part = max(loss.parts, key=lambda name: loss.parts[name])
        cause = loss.cause if part == "prompt" else part
        worst.add_row(loss.name, loss.recipe, f"{loss.iou:.3f}", f"{cause} {loss.parts[part]:.3f}")
    if diagnosis.rows:
        console.print(worst)
    print_places(console, directory, page)


def _print_trust(console: Console, diagnosis: Diagnosis) -> None:
    """Of the recipes with a judge: the most trusted images, by the judge and by others."""
    judged = [trust for trust in diagnosis.trust if trust.judged]
    if not judged:
        return
    table = Table(
        box=None, pad_edge=False, title="mean IoU of the most trusted", title_justify="left"
    )
    for title in ("recipe", "by"):
        table.add_column(title, style="cyan", overflow="fold")
    for title in ("rank corr.", "AUC", *(f"{share:.0%}" for share in judged[0].shares)):
        table.add_column(title, justify="right")
    for trust in judged:
        for order in trust.orders:
            figures = (order.rank_correlation, order.auc, *order.iou)
            cells = (_short(value, 3) for value in figures)
            table.add_row(trust.recipe, order.by, *cells)
    console.print(table)
    for trust in judged[:3]:
        console.print(trust.reading)


def print_robustness(robustness: Robustness, directory: Path, page: Path | None) -> None:
    """Each recipe under each perturbation, the most harmful first, and what it means."""
    console = Console()
    plural = "" if robustness.images == 1 else "s"
    better = "" if robustness.higher_is_better else " (lower is better)"
    console.print(
        f"{robustness.figure}{better} of {robustness.images} image{plural} under damage, from none "
        f"to level {robustness.levels}",
        soft_wrap=True,
    )
    for recipe in robustness.recipes:
        curves = robustness.curves_of(recipe.recipe)
        if not curves:
            continue
        title = recipe.recipe if len(robustness.recipes) > 1 else None
        table = Table(
            box=None, pad_edge=False, title=title, title_justify="left", title_style="cyan"
        )
        table.add_column("damage", style="cyan", overflow="fold")
        last = f"at {robustness.levels}"
        for head in ("none", last, "mean", "95 % interval", "kept", *GIVES_WAY):
            table.add_column(head, justify="right", no_wrap=True)
        for curve in curves:
            ends = (curve.points[0].figure, curve.points[-1].figure)
            table.add_row(
                curve.perturbation,
                *(_short(e.mean) for e in (*ends, curve.area)),
                _reach(curve.area, _short),
                _short(curve.kept.mean, 2),
                *("–" if k is None else str(k) for k in curve.gives_way.values()),
            )
        console.print(table)
    if robustness.curves:
        console.print(
            "mean: height of the curve; kept: mean over none; heat, prompt, mask: the level "
            "at which each gives way",
            style="dim",
        )
    for recipe in robustness.recipes:
        console.print(recipe.reading)
    if robustness.failed:
        many = len(robustness.failed_images)
        console.print(
            f"{many} image{'' if many == 1 else 's'} failed, with or without damage, and "
            "are left out of the curves concerned"
        )
    for skipped in robustness.skipped:
        console.print(f"left out: {skipped.recipe}: {skipped.reason}", style="dim")
    print_places(console, directory, page)


def _short(value: float, digits: int = 3) -> str:
    """Shares with three digits, what may be larger with one."""
    if not math.isfinite(value):
        return "–"
    return f"{value:.{digits if abs(value) < 10 else 1}f}"


def print_places(console: Console, directory: Path, page: Path | None) -> None:
    """Where the files are."""
    console.print(f"masks and pictures: {directory}", soft_wrap=True)
    if page is not None:
        console.print(f"report: {page}", soft_wrap=True)


def _reach(found: Estimate | None, shown: Callable[[float], str] = "{:.3f}".format) -> str:
    if found is None or not math.isfinite(found.low):
        return "–"
    return f"{shown(found.low)} to {shown(found.high)}"


def _figure(found: Estimate | None) -> str:
    return "–" if found is None or math.isnan(found.mean) else f"{found.mean:.3f}"
