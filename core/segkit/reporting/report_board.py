"""The report's leaderboard: its columns and cells, narrow enough for a page without scrolling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from segkit.comparing.records import Estimate, LeaderboardFile, Pair, Row, Spread
from segkit.kinds import SHOWN_FIGURES
from segkit.reporting.chain import common_chain
from segkit.reporting.charts import WHISKER, finite, scale_of, whisker
from segkit.reporting.report_folder import Folder
from segkit.running.protocols import caption

BESIDE = 6
"""So many figures stand beside the one that recipes are sorted by."""

ACROSS = 8
"""So many figures with their intervals stand side by side."""


PAIRS = 500
"""So many pairs of recipes stand in the page; leaderboard.json has all."""


@dataclass(frozen=True)
class BoardRow:
    """What the template draws of one recipe."""

    row: Row
    below: str
    """What tells it from others, where its name does not."""
    score: Estimate
    """The figure that recipes are sorted by."""
    places: list[float | None]
    """Where its interval is drawn (see `charts.whisker`)."""
    spread: float
    """Its standard deviation over seeds; NaN for one seed."""
    seconds: float
    verdict: tuple[str, str]
    """Against the next recipe: a word, and the sentence."""


def board_section(folder: Folder) -> dict[str, Any] | None:
    """What the template draws; None if the folder has no leaderboard."""
    board = folder.leaderboard
    if board is None or not board.rows:
        return None
    chain, own = common_chain([row.words for row in board.rows])
    metric = board.metrics[0] if board.metrics else ""
    scale = scale_of([row.scores.get(metric, Estimate()) for row in board.rows], WHISKER)
    rows = []
    for row, words in zip(board.rows, own, strict=True):
        score = row.scores.get(metric, Estimate())
        rows.append(
            BoardRow(
                row=row,
                below=_below(row, words),
                score=score,
                places=whisker(score, scale),
                spread=row.seeds.get(metric, Spread()).deviation,
                seconds=sum(row.seconds.values()),
                verdict=_against_next(board, row),
            )
        )
    return {
        "metric": metric,
        "beside": shown_first(board)[1 : 1 + BESIDE],
        "rows": rows,
        "chain": chain,
        "first": board.rows[0],
        "failed": any(row.failed for row in board.rows),
        "seeds": ", ".join(map(str, board.seeds)),
        "tables": _tables(board),
        "pairs": told_pairs(board),
        "protocol": caption(board.protocol),
    }


def shown_first(board: LeaderboardFile) -> list[str]:
    """Every figure: the one that recipes are sorted by, the main ones, others, those of nobody."""
    first = [board.metric, *SHOWN_FIGURES]

    def place(metric: str) -> tuple[bool, int]:
        missing = all(finite(row.scores.get(metric, Estimate()).mean) is None for row in board.rows)
        return missing, first.index(metric) if metric in first else len(first)

    return sorted(board.metrics, key=place)


def told_pairs(board: LeaderboardFile) -> list[Pair]:
    """The pairs that the page has room for, in their order.

    Of many those with the best recipe and those of neighbours come first, then pairs by how high
    their two recipes stand.
    """
    if len(board.pairs) <= PAIRS:
        return list(board.pairs)
    place = {row.recipe: place for place, row in enumerate(board.rows)}

    def telling(index: int) -> tuple[bool, int, int]:
        pair = board.pairs[index]
        one, other = place.get(pair.better, len(place)), place.get(pair.worse, len(place))
        return one != 0 and other != one + 1, one + other, one

    chosen = sorted(range(len(board.pairs)), key=telling)[:PAIRS]
    return [board.pairs[index] for index in sorted(chosen)]


def _below(row: Row, words: str) -> str:
    """What tells a recipe from others, where its name does not say so."""
    named = [row.recipe, *([] if words in row.recipe else [words])]
    told = [
        f"{axis} {value}"
        for axis, value in row.options.items()
        if not any(str(value) in text for text in named)
    ]
    return ", ".join([*named[1:], *told])


def _against_next(board: LeaderboardFile, row: Row) -> tuple[str, str]:
    """Whether it is better than the next recipe, in a word, and the sentence that says so."""
    if not row.verdict:
        return "–", ""
    place = board.rows.index(row)
    following = {other.recipe for other in board.rows[place + 1 : place + 2]}
    pair = next((p for p in board.pairs if p.better == row.recipe and p.worse in following), None)
    if pair is None:
        return "", row.verdict
    return "better" if pair.distinguishable else "alike", row.verdict


def _tables(board: LeaderboardFile) -> list[tuple[Sequence[str], list[tuple[str, list[Estimate]]]]]:
    """All figures with their intervals, in tables that have room: figures, and a row a recipe."""
    metrics = shown_first(board)
    return [
        (some, [(row.recipe, [row.scores.get(m, Estimate()) for m in some]) for row in board.rows])
        for some in (metrics[at : at + ACROSS] for at in range(0, len(metrics), ACROSS))
    ]
