"""Which recipe is better: the leaderboard of a sweep, and each pair of recipes compared.

How sure that is comes from `segkit.comparing.statistics`. A column is a field of
`segkit.comparing.records.Row`, filled in `make_leaderboard`.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any

from segkit.comparing.records import Estimate, LeaderboardFile, Pair, Row, Skipped
from segkit.comparing.sheets import leaderboard_csv, leaderboard_table
from segkit.comparing.statistics import (
    LEVEL,
    Bootstrap,
    Drawn,
    estimates,
    interval,
    permutation_p,
)
from segkit.errors import MissingExtraError, UsageError
from segkit.kinds import MAIN_FIGURE
from segkit.plugins.figures import Figure
from segkit.plugins.steps import Metric
from segkit.running.protocols import Agreement, Protocols, agreement, caption
from segkit.running.records import Lines, Protocol, ResultLine
from segkit.values.showing import counted, listed

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Leaderboard:
    """Recipes, best first, and each pair of them compared. A notebook shows it as a table."""

    metric: str
    """What it is sorted by."""
    higher_is_better: bool
    images: int
    """Images that every recipe finished; the figures are those of these images."""
    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...]
    """Every pair, the better recipe's place first, then the worse one's."""
    failed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Image to the recipes that failed on it."""
    skipped: Sequence[Mapping[str, str]] = ()
    """`recipe` and `reason` of the combinations that cannot be run."""
    missed: str = ""
    """The figure that it should have been sorted by, where no recipe has it."""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    """Each figure of the rows to whether less of it is better, and its unit."""
    seeds: Sequence[int] = ()
    """The figures are means over these; empty: of one seed."""
    protocol: Mapping[str, Protocol] = field(default_factory=dict)
    """Figure that tells classes apart to how all rows were counted, as far as they say."""
    notes: Sequence[str] = ()
    """Which figures are not compared, for rows were counted differently, and which rows do not say
    how they were."""

    def pair(self, one: str, other: str) -> Pair | None:
        """The comparison of two recipes, whichever is better; None if one lacks the figure."""
        return _pair_of(self.pairs, one, other)

    def verdicts(self) -> list[str]:
        """The best recipe against each other one, in words."""
        return [p.sentence for p in self.pairs if p.better == self.rows[0].recipe]

    @property
    def caution(self) -> str:
        """What to keep in mind: many comparisons, or a figure that nobody has; mostly empty."""
        if self.missed:
            return f"no recipe has {self.missed}, so they are sorted by {self.metric or 'name'}"
        count = len(self.pairs)
        if count < 10:
            return ""
        return (
            f"{count} pairs were compared: were all recipes alike, about "
            f"{count * (1 - LEVEL):.0f} of them would seem to differ by chance"
        )

    def to_dict(self) -> dict[str, Any]:
        """What leaderboard.json holds."""
        return self._file().to_dict()

    def to_csv(self) -> str:
        """One row a recipe: its name, each metric with its interval, seconds an image.

        Over several seeds the deviation over them stands behind each interval. What there is not
        is an empty cell.
        """
        return leaderboard_csv(self._file())

    def to_pandas(self) -> DataFrame:
        """The table of `to_csv` as a DataFrame of pandas, with the recipes as its index.

        What there is not is NaN. Raises `MissingExtraError` where pandas is not installed.
        """
        try:
            import pandas
        except ModuleNotFoundError:
            raise MissingExtraError("Leaderboard.to_pandas", "pandas", "notebook") from None
        heads, rows = leaderboard_table(self._file())
        return pandas.DataFrame(rows, columns=heads).set_index("recipe")

    def __repr__(self) -> str:
        places = [f"{r.recipe} {r.scores.get(self.metric, Estimate()).mean:.3f}" for r in self.rows]
        of = f" on {counted(self.images, 'image')} by {self.metric or 'name'}"
        return f"Leaderboard({counted(len(self.rows), 'recipe')}{of}: {listed(places)})"

    def _file(self) -> LeaderboardFile:
        return LeaderboardFile(
            metric=self.metric,
            higher_is_better=self.higher_is_better,
            images=self.images,
            **({"seeds": tuple(self.seeds)} if self.seeds else {}),
            rows=self.rows,
            pairs=self.pairs,
            caution=self.caution,
            **({"protocol": dict(self.protocol)} if self.protocol else {}),
            **({"notes": tuple(self.notes)} if self.notes else {}),
            failed={image: list(recipes) for image, recipes in self.failed.items()},
            skipped=tuple(Skipped(**combination) for combination in self.skipped),
        )

    def _repr_html_(self) -> str:
        metrics = self._metrics()
        head = "".join(f"<th>{escape(m)}</th>" for m in ("recipe", *metrics))
        body = "".join(
            f"<tr><td>{escape(row.recipe)}</td>"
            + "".join(f"<td>{row.scores.get(m, Estimate())}</td>" for m in metrics)
            + "</tr>"
            for row in self.rows
        )
        words = "".join(
            f"<li>{escape(sentence)}</li>" for sentence in (*self.verdicts(), *self.notes)
        )
        counted = escape(caption(self.protocol))
        return f"<table><tr>{head}</tr>{body}</table><p>{counted}</p><ul>{words}</ul>"

    def _metrics(self) -> list[str]:
        return list(dict.fromkeys(m for row in self.rows for m in row.scores))


def make_leaderboard(
    results: Mapping[str, Lines],
    metrics: Mapping[str, Sequence[Metric]],
    *,
    sort_by: str | None = None,
    options: Mapping[str, Mapping[str, str]] | None = None,
    words: Mapping[str, str] | None = None,
    skipped: Sequence[Mapping[str, str]] = (),
    protocols: Mapping[str, Protocols] | None = None,
    seed: int = 0,
) -> Leaderboard:
    """Compare recipes: `results` are the lines of each one's results.jsonl by image.

    Only images that all recipes finished count, for a recipe that fails on hard images would
    look good. `options` and `words` describe the recipes. They are sorted by the figure `sort_by`
    (left out: iou), or by the first that there is if no recipe has it. A figure that recipes have
    counted differently (`protocols`: recipe to what its summary says; None: nothing is looked at)
    is on none of the rows; `UsageError` where they should be sorted by it.
    """
    common = common_images(results)
    drawn = {
        name: Bootstrap(metrics[name], [lines[image] for image in common], seed)
        for name, lines in results.items()
    }
    rows = {
        name: Row(
            recipe=name,
            options=dict((options or {}).get(name, {})),
            words=(words or {}).get(name, ""),
            scores=estimates(drawn[name]),
            seconds=seconds_of(lines.values()),
            images=len(common),
            failed=sum(not line.ok for line in lines.values()),
        )
        for name, lines in results.items()
    }
    return ranked(
        rows,
        drawn,
        sort_by=sort_by,
        failed=failed_in(results),
        skipped=skipped,
        protocols=protocols,
    )


def ranked(
    rows: Mapping[str, Row],
    drawn: Mapping[str, Drawn],
    *,
    sort_by: str | None = None,
    failed: Mapping[str, Sequence[str]],
    skipped: Sequence[Mapping[str, str]] = (),
    protocols: Mapping[str, Protocols] | None = None,
) -> Leaderboard:
    """The leaderboard of these rows, best first, with each pair of them compared.

    `drawn` has each row's figures on the same draws. The arguments are those of `make_leaderboard`.
    """
    declared: dict[str, Figure] = {}
    for recipe in drawn.values():
        declared |= recipe.declared
    own = {name: recipe.declared for name, recipe in drawn.items()}
    agreed = Agreement() if protocols is None else agreement(protocols, own)
    if sort_by in agreed.refused:
        raise UsageError(
            f"recipes cannot be compared by {sort_by}, for {agreed.refused[sort_by]}; sort by "
            "another figure, such as iou, or count them alike (segkit score, or a run anew)"
        )
    declared = {name: own for name, own in declared.items() if name not in agreed.refused}
    rows = {name: _without(row, agreed.refused) for name, row in rows.items()}
    figure = next((f for f in (sort_by or MAIN_FIGURE, *declared) if f in declared), "")
    lower = figure in declared and declared[figure].lower_is_better
    sign = -1 if lower else 1

    def place(name: str) -> float:
        value = drawn[name].figures.get(figure, math.nan)
        return math.inf if math.isnan(value) else -sign * value

    order = sorted(rows, key=place)
    having = [name for name in order if figure in drawn[name].draws]
    pairs = tuple(
        _compared(better, worse, drawn, figure, sign) for better, worse in combinations(having, 2)
    )
    return Leaderboard(
        metric=figure,
        higher_is_better=not lower,
        images=next(iter(drawn.values())).count if drawn else 0,
        rows=_with_verdicts([rows[name] for name in order], pairs),
        pairs=pairs,
        failed=failed,
        skipped=skipped,
        missed=sort_by if sort_by and sort_by != figure else "",
        figures=declared,
        protocol=agreed.protocols,
        notes=agreed.notes,
    )


def _without(row: Row, figures: Container[str]) -> Row:
    """The row without these figures."""
    scores = {name: score for name, score in row.scores.items() if name not in figures}
    seeds = {name: spread for name, spread in row.seeds.items() if name not in figures}
    changed = {"scores": scores, **({"seeds": seeds} if row.seeds else {})}
    return row if len(scores) == len(row.scores) else row.model_copy(update=changed)


def common_images(results: Mapping[str, Lines]) -> list[str]:
    """The images that every recipe finished, in the first one's order."""
    first = next(iter(results.values()), {})
    return [
        image
        for image in first
        if all(image in lines and lines[image].ok for lines in results.values())
    ]


def failed_in(results: Mapping[str, Lines]) -> dict[str, list[str]]:
    """Image to the recipes that failed on it."""
    failed: dict[str, list[str]] = {}
    for recipe, lines in results.items():
        for image, line in lines.items():
            if not line.ok:
                failed.setdefault(image, []).append(recipe)
    return failed


def _compared(better: str, worse: str, drawn: Mapping[str, Drawn], metric: str, sign: int) -> Pair:
    """Two recipes on the same draws of the same images."""
    first, second = drawn[better], drawn[worse]
    difference = sign * (first.figures[metric] - second.figures[metric])
    low, high = interval(sign * (first.draws[metric] - second.draws[metric]), first.count)
    p = permutation_p(first, second, metric, difference) if low > 0 else None
    pair = Pair(
        better=better,
        worse=worse,
        metric=metric,
        difference=difference,
        low=low,
        high=high,
        p=p,
        images=first.count,
        distinguishable=p is not None and p < 1 - LEVEL,
    )
    by_seed = {
        seed: sign * (ours[metric] - second.by_seed[seed][metric])
        for seed, ours in first.by_seed.items()
    }
    if by_seed:
        pair = pair.model_copy(update={"seeds": {str(s): d for s, d in by_seed.items()}})
    return pair.model_copy(update={"sentence": _sentence(pair)})


def _sentence(pair: Pair) -> str:
    """The verdict in words."""
    plural = "" if pair.images == 1 else "s"
    if not (pair.difference or pair.low or pair.high):
        return f"{pair.better} and {pair.worse} have the same {pair.metric}"
    if pair.distinguishable:
        margin = (pair.high - pair.low) / 2
        reach = f"± {margin:.3f} {pair.metric}"
        if margin >= pair.difference:  # lopsided: it leaves out zero all the same
            reach = f"{pair.metric} (95 % interval {pair.low:.3f} to {pair.high:.3f})"
        return f"{pair.better} beats {pair.worse} by {pair.difference:.3f} {reach}{_in_seeds(pair)}"
    alike = f"{pair.better} and {pair.worse} are not distinguishable on {pair.images} image{plural}"
    if not math.isfinite(pair.low):
        return alike
    return (
        f"{alike} ({pair.metric} better by {pair.difference:.3f}, 95 % interval "
        f"{pair.low:.3f} to {pair.high:.3f}){_in_seeds(pair)}"
    )


def _in_seeds(pair: Pair) -> str:
    """Under how many seeds the better one is better, if there are several."""
    better = sum(difference > 0 for difference in pair.seeds.values())
    return f", better in {better} of {len(pair.seeds)} seeds" if pair.seeds else ""


def _with_verdicts(rows: Sequence[Row], pairs: Sequence[Pair]) -> tuple[Row, ...]:
    """Each row with its verdict against the next one; the last has none."""
    told = []
    for row, following in pairwise(rows):
        pair = _pair_of(pairs, row.recipe, following.recipe)
        told.append(row.model_copy(update={"verdict": pair.sentence if pair else ""}))
    return (*told, *rows[-1:])


def _pair_of(pairs: Iterable[Pair], one: str, other: str) -> Pair | None:
    return next((p for p in pairs if {p.better, p.worse} == {one, other}), None)


def seconds_of(lines: Iterable[ResultLine]) -> dict[str, float]:
    """Step to seconds, the mean over the finished images."""
    good = [line for line in lines if line.ok]
    total: dict[str, float] = {}
    for line in good:
        for step, spent in line.seconds.items():
            total[step] = total.get(step, 0) + spent
    return {step: spent / len(good) for step, spent in total.items()}
