"""tables/: the leaderboard, its pairs and each image's figures as LaTeX, Markdown and CSV.

LaTeX and Markdown hold the figures that fit a page, rounded; CSV holds all of them in full.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from segkit.comparing.records import Estimate, LeaderboardFile, Row
from segkit.comparing.seeds import FOLDER
from segkit.comparing.sheets import csv_text, leaderboard_csv, pairs_csv
from segkit.errors import UsageError, did_you_mean
from segkit.plugins.figures import Figure
from segkit.reporting.chain import common_chain
from segkit.reporting.report_board import shown_first
from segkit.reporting.report_folder import Folder, Run
from segkit.running.protocols import Protocols, in_words
from segkit.running.protocols import caption as protocol_line
from segkit.running.records import RunSummary

COLUMNS = 3
"""So many figures stand in a table for a page, where none are named."""

Figures = Mapping[str, Figure]
"""Whether less of each figure is better, and its unit."""


@dataclass(frozen=True)
class Cell:
    """A text, maybe a bold one."""

    text: str
    bold: bool = False


@dataclass(frozen=True)
class Table:
    """What LaTeX and Markdown show."""

    name: str
    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    words: int = 1
    """So many of the first columns are words, the others numbers."""


def tables_of(
    folder: Folder, figures: Figures, columns: Sequence[str] = ()
) -> Iterator[tuple[str, str]]:
    """Each file's name and text: the leaderboard and pairs, or a run's scores; the images.

    `columns` names the figures in LaTeX and Markdown. Raises `UsageError` for one that nobody has.
    """
    board = folder.leaderboard
    if board is not None and board.rows:
        shown = list(columns) or shown_first(board)[:COLUMNS]
        _check(shown, board.metrics)
        yield from _written(_leaderboard(board, figures, shown), leaderboard_csv(board))
        if board.pairs:
            yield from _written(_pairs(board, figures), pairs_csv(board))
    for run in folder.runs:
        if run.summary is not None and not folder.several:
            scores = run.summary.scores
            _check(columns, scores)
            shown = list(columns) or list(scores)
            yield from _written(_scores(run, figures, shown), _scores_csv(run.summary))
    if folder.runs:
        yield "images.csv", _images(folder)


def _check(columns: Sequence[str], known: Sequence[str] | Mapping[str, object]) -> None:
    for name in columns:
        if name not in known:
            hint = did_you_mean(name, list(known), f"there is {', '.join(known)}")
            raise UsageError(f"--columns {name}: the folder has no such figure; {hint}")


def _written(table: Table, sheet: str) -> Iterator[tuple[str, str]]:
    yield f"{table.name}.tex", latex(table)
    yield f"{table.name}.md", markdown(table)
    yield f"{table.name}.csv", sheet


# ---- what the tables hold ----------------------------------------------------------------------


def _leaderboard(board: LeaderboardFile, figures: Figures, shown: Sequence[str]) -> Table:
    chain, _ = common_chain([row.words for row in board.rows])
    alike = {
        pair.worse
        for pair in board.pairs
        if pair.better == board.rows[0].recipe and not pair.distinguishable
    }
    best = {name: _best(board.rows, name, figures[name]) for name in shown}
    rows = []
    for row in board.rows:
        cells = [Cell(row.recipe + (" †" if row.recipe in alike else ""))]
        for name in shown:
            score = row.scores.get(name, Estimate())
            text = _short(score.mean)
            spread = row.seeds.get(name)
            if spread is not None and math.isfinite(spread.deviation):
                text += f" ± {_short(spread.deviation)}"
            cells.append(Cell(text, bold=score.mean == best[name]))
            if name == board.metric:
                cells.append(Cell(_reach(score.low, score.high)))
        rows.append(cells)
    heads = ["recipe"]
    for name in shown:
        heads += [_head(name, figures[name]), *(["95 % interval"] if name == board.metric else [])]
    caption = f"Means over {board.images} image{'' if board.images == 1 else 's'}"
    caption += ", with 95 % bootstrap intervals over images" if board.metric in shown else ""
    if board.seeds:
        caption += f"; ±: standard deviation over the seeds {', '.join(map(str, board.seeds))}"
    caption += f". Steps: {chain}" if chain else ""
    caption += ". Bold: the best of a column."
    if alike:
        caption += f" †: not distinguishable from the first by {board.metric}."
    caption += _counted(board.protocol, shown)
    return Table("leaderboard", caption, heads, rows)


def _pairs(board: LeaderboardFile, figures: Figures) -> Table:
    unit = figures[board.metric].unit
    heads = ["better", "worse", f"difference in {board.metric}{f' ({unit})' if unit else ''}"]
    heads += ["95 % interval", "p", *(["seeds"] if board.seeds else []), "distinguishable"]
    rows = []
    for pair in board.pairs:
        p = "–" if pair.p is None else f"{pair.p:.3f}" if pair.p >= 0.001 else "< 0.001"
        better = sum(difference > 0 for difference in pair.seeds.values())
        texts = [
            *(pair.better, pair.worse, _short(pair.difference), _reach(pair.low, pair.high), p),
            *([f"{better} of {len(board.seeds)}"] if board.seeds else []),
        ]
        verdict = Cell("yes" if pair.distinguishable else "no", bold=pair.distinguishable)
        rows.append([*map(Cell, texts), verdict])
    caption = (
        "Each pair of recipes on the same images: the difference with its 95 % interval (paired "
        "bootstrap) and p by permutation, where the interval leaves out zero."
    )
    if board.seeds:
        caption += " Seeds: under how many the better one is better."
    caption += _counted(board.protocol, [board.metric])
    return Table("pairs", caption, heads, rows, words=2)


def _scores(run: Run, figures: Figures, shown: Sequence[str]) -> Table:
    assert run.summary is not None
    values = run.summary.scores
    rows = [[Cell(_head(name, figures[name])), Cell(_short(values[name]))] for name in shown]
    finished = run.summary.images - run.summary.failed
    caption = f"{run.words} on {finished} image{'' if finished == 1 else 's'}."
    caption += _counted(run.summary.protocol, shown)
    return Table("scores", caption, ["figure", "value"], rows)


def _scores_csv(summary: RunSummary) -> str:
    """One row a figure; how it was counted stands behind its value, where any figure says."""
    protocols = summary.protocol
    heads = ["figure", "value", *(["protocol"] if protocols else [])]
    rows: list[list[object]] = [[name, value] for name, value in summary.scores.items()]
    for row in rows if protocols else ():
        own = protocols.get(str(row[0]))
        row.append(None if own is None else in_words(own))
    return csv_text(heads, rows)


def _counted(protocols: Protocols, shown: Sequence[str]) -> str:
    """A sentence on how those of the shown figures were counted that tell classes apart."""
    text = protocol_line(protocols, shown)
    return f" Protocol of {text}." if text else ""


def _images(folder: Folder) -> str:
    """One row for each recipe, image and seed."""
    board = folder.leaderboard
    seeds = board.seeds if board else ()
    runs = [(str(seeds[0]) if seeds else "", run) for run in folder.runs]
    for seed in seeds[1:]:
        inside = folder.directory / FOLDER / str(seed) / "recipes"
        names = [run.name for run in folder.runs if (inside / run.name / "results.jsonl").exists()]
        runs += [(str(seed), Run.read(inside / name)) for name in names]
    figures = dict.fromkeys(
        n for _, run in runs for line in run.lines.values() for n in line.scores
    )
    first = ["seed"] if seeds else []
    heads = [*first, "recipe", "image", "status", "error", *figures, "masks", "seconds"]
    rows = [
        [
            *([seed] if seeds else []),
            *(run.name, line.name, line.status, line.error),
            *(line.scores.get(name) for name in figures),
            *(len(line.masks), round(sum(line.seconds.values()), 6)),
        ]
        for seed, run in runs
        for line in run.lines.values()
    ]
    # A name may hold bytes that are no text; UTF-8 cannot write those.
    return csv_text(heads, rows).encode("utf-8", "replace").decode()


def _best(rows: Sequence[Row], name: str, figure: Figure) -> float:
    values = [row.scores.get(name, Estimate()).mean for row in rows]
    finite = [value for value in values if math.isfinite(value)]
    return (min if figure.lower_is_better else max)(finite, default=math.nan)


def _head(name: str, figure: Figure) -> str:
    """A figure's name with its unit and the direction in which it is better."""
    unit = f" ({figure.unit})" if figure.unit else ""
    return f"{name}{unit} {'↓' if figure.lower_is_better else '↑'}"


def _short(value: float) -> str:
    """Shares with three digits, what may be larger with one; – where there is none."""
    if not math.isfinite(value):
        return "–"
    text = f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
    return text.replace("-", "−")


def _reach(low: float, high: float) -> str:
    return f"{_short(low)} to {_short(high)}" if math.isfinite(low) else "–"


# ---- how they are written ----------------------------------------------------------------------

_LATEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": "$<$", ">": r"$\rightarrow$", "|": "$|$", "±": r"$\pm$", "−": "$-$"},
    **{"↑": r"$\uparrow$", "↓": r"$\downarrow$", "†": r"$\dagger$", "–": "--", "…": r"\dots{}"},
}


def latex_text(text: str) -> str:
    """A text as LaTeX shows it; the > of a chain becomes an arrow."""
    escaped = "".join(_LATEX.get(sign, sign) for sign in text)
    return re.sub(r"(?<=\d) (?=\\%)", r"\\,", escaped)


def latex(table: Table) -> str:
    """A table environment, for `input`."""
    lines = ["% \\usepackage{booktabs}", "\\begin{table}", "  \\centering"]
    lines += [f"  \\caption{{{latex_text(table.caption)}}}", f"  \\label{{tab:{table.name}}}"]
    columns = "l" * table.words + "r" * (len(table.heads) - table.words)
    lines += [f"  \\begin{{tabular}}{{{columns}}}", "    \\toprule"]
    lines += ["    " + " & ".join(map(latex_text, table.heads)) + r" \\", "    \\midrule"]
    for row in table.rows:
        cells = (f"\\textbf{{{latex_text(c.text)}}}" if c.bold else latex_text(c.text) for c in row)
        lines.append("    " + " & ".join(cells) + r" \\")
    lines += ["    \\bottomrule", "  \\end{tabular}", "\\end{table}"]
    return "\n".join(lines) + "\n"


def markdown(table: Table) -> str:
    """A table of GitHub's Markdown, its caption above it."""

    def row(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    def text(words: str) -> str:
        return re.sub(r"([\\|*_<`])", r"\\\1", words)

    lines = [text(table.caption), "", row([text(head) for head in table.heads])]
    lines.append(row([*["---"] * table.words, *["--:"] * (len(table.heads) - table.words)]))
    for cells in table.rows:
        lines.append(row([f"**{text(c.text)}**" if c.bold else text(c.text) for c in cells]))
    return "\n".join(lines) + "\n"
