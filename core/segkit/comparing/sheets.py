"""Leaderboards as CSV: every figure of every recipe, and every pair of them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence

from segkit.comparing.records import Estimate, LeaderboardFile, Spread
from segkit.running.protocols import caption

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a text begins with that a spreadsheet takes for a formula."""


def csv_text(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows under their heads; what there is not, None or NaN, is an empty cell.

    A text that a spreadsheet would take for a formula, such as the name of an image that begins
    with =, has an apostrophe before it, so that it is shown and nothing is computed.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(_shown, heads))
    for row in rows:
        writer.writerow(["" if _missing(cell) else _shown(cell) for cell in row])
    return out.getvalue()


def _shown(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


def _missing(cell: object) -> bool:
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def leaderboard_csv(board: LeaderboardFile) -> str:
    """The columns of `leaderboard_table`."""
    return csv_text(*leaderboard_table(board))


def leaderboard_table(board: LeaderboardFile) -> tuple[list[str], list[list[object]]]:
    """Heads and rows: of each recipe its name, each figure with its interval, seconds, failures.

    Seconds are those of an image. Over several seeds the deviation over them stands behind each
    interval. Behind all of it stands how figures that tell classes apart were counted, where there
    are any.
    """
    figures = list(dict.fromkeys(name for row in board.rows for name in row.scores))
    parts = ("", "_low", "_high", *(["_seeds_sd"] if board.seeds else []))
    heads = ["recipe", *(name + part for name in figures for part in parts), "seconds", "failed"]
    counted = caption(board.protocol)
    heads += ["protocol"] if counted else []
    rows: list[list[object]] = []
    for row in board.rows:
        cells: list[object] = [row.recipe]
        for name in figures:
            score = row.scores.get(name, Estimate())
            cells += [score.mean, score.low, score.high]
            if board.seeds:
                cells.append(row.seeds.get(name, Spread()).deviation)
        cells += [sum(row.seconds.values()), row.failed, *([counted] if counted else [])]
        rows.append(cells)
    return heads, rows


def pairs_csv(board: LeaderboardFile) -> str:
    """One row a pair of recipes; over several seeds with the difference under each."""
    seeds = list(map(str, board.seeds))
    heads = ["better", "worse", "figure", "difference", "low", "high", "p", "images"]
    heads += ["distinguishable", *(f"difference_seed_{seed}" for seed in seeds)]
    rows = [
        [
            *(pair.better, pair.worse, pair.metric, pair.difference, pair.low, pair.high),
            *(pair.p, pair.images, "yes" if pair.distinguishable else "no"),
            *(pair.seeds.get(seed) for seed in seeds),
        ]
        for pair in board.pairs
    ]
    return csv_text(heads, rows)
