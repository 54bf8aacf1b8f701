"""What lies in the folder of a run, a sweep, a diagnosis or a robustness test, read leniently.

A page is made of what can be read; what cannot is named in `problems`.
"""

from __future__ import annotations

import contextlib
import json
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from segkit.comparing.records import ComparisonModel, Diagnosis, LeaderboardFile
from segkit.comparing.robustness_records import Robustness
from segkit.errors import UsageError, shortened
from segkit.kinds import MAIN_FIGURE
from segkit.reporting.charts import finite
from segkit.reporting.overview import BARE, Overview
from segkit.reporting.recipe_words import recipe_in_words
from segkit.running.protocols import difference
from segkit.running.recipe import Recipe
from segkit.running.records import ResultLine, RunSummary, read_summary
from segkit.running.result_lines import ResultLines

MOST = 1 << 20
"""So many bytes of a recipe are shown at most."""

_Model = TypeVar("_Model", bound=ComparisonModel)


@dataclass
class Run:
    """What one recipe left in its folder."""

    directory: Path
    name: str
    """The recipe's name; that of a run alone is its folder's."""
    lines: Mapping[str, ResultLine] = field(default_factory=dict)
    """Image name to its line of results.jsonl; of two lines the later one."""
    unreadable: int = 0
    """How many lines of results.jsonl make no sense."""
    summary: RunSummary | None = None
    """summary.json; None before the run has finished."""
    recipe_text: str = ""
    recipe: Recipe | None = None
    """recipe.toml; None if it is missing or damaged."""

    @classmethod
    def read(cls, directory: Path) -> Run:
        """Read a folder that holds results.jsonl. Raises `UsageError` if that cannot be read."""
        path = directory / "results.jsonl"
        try:
            lines = ResultLines(path)
        except OSError as error:
            raise UsageError(f"'{path}' cannot be read: {error.strerror or error}") from None
        run = cls(directory, directory.resolve().name, lines, lines.unreadable)
        run.summary = read_summary(directory)
        with contextlib.suppress(OSError, UnicodeDecodeError, UsageError):  # the page tells it
            path = directory / "recipe.toml"
            if path.stat().st_size <= MOST:
                run.recipe_text = path.read_text(encoding="utf-8")
            run.recipe = Recipe.load(path)
        return run

    @cached_property
    def overview(self) -> Overview:
        """What all lines come to."""
        return Overview.of(self.lines)

    @property
    def makes_masks(self) -> bool:
        """Whether an image without masks is one in which nothing was found."""
        empty = self.summary is not None and self.summary.empty
        return bool(empty or self.overview.any_masks)

    def standing(self, name: str, rank: str) -> float | None:
        """What an image is ordered by: its figure `rank`, or else how good its masks are.

        That is as a judge says, or else the least of their scores: 0 if it has none, None where no
        step makes masks. None too for an image without a line.
        """
        place = self.places.get(name)
        if place is None:
            return None
        if rank:
            column = self.overview.figures.get(rank)
            return None if column is None else finite(column[place])
        sure = self.overview.sureness[place]
        return (0.0 if self.makes_masks else None) if sure == BARE else finite(sure)

    @cached_property
    def places(self) -> dict[str, int]:
        """Image name to its place in the columns."""
        return {name: place for place, name in enumerate(self.lines)}

    @property
    def words(self) -> str:
        """Its steps in a row, or else its name."""
        return (self.recipe and recipe_in_words(self.recipe)) or self.name


@dataclass
class Folder:
    """Everything that a page is made of."""

    directory: Path
    runs: list[Run]
    """The best first where there is a leaderboard."""
    several: bool
    """Whether it is a sweep's folder, with its runs in recipes/NAME."""
    leaderboard: LeaderboardFile | None = None
    diagnosis: Diagnosis | None = None
    robustness: Robustness | None = None
    problems: list[str] = field(default_factory=list)
    """What could not be read, in sentences."""
    chosen: Sequence[str] | None = None
    """The names of the only images that are shown one by one; None: all are."""

    @classmethod
    def read(cls, directory: Path) -> Folder:
        """Find out what a folder holds. Raises `UsageError` where that is nothing of ours."""
        try:
            there = stat.S_ISDIR(directory.stat().st_mode)
        except (OSError, ValueError):  # no such name, one too long, or not to be looked at
            there = False
        if not there:
            raise UsageError(
                f"there is no folder '{shortened(directory)}'; name the one that segkit run has "
                "written"
            )
        problems: list[str] = []
        board = _read_json(directory / "leaderboard.json", LeaderboardFile, problems)
        diagnosis = _read_json(directory / "diagnosis.json", Diagnosis, problems)
        robustness = _read_json(directory / "robustness.json", Robustness, problems)
        inside = sorted(p.parent for p in directory.glob("recipes/*/results.jsonl"))
        alone = not inside and (directory / "results.jsonl").exists()
        if not (inside or alone or board or diagnosis or robustness):
            raise UsageError(_nothing(directory))
        order = [row.recipe for row in board.rows] if board else []
        if robustness and not order:
            order = [recipe.recipe for recipe in robustness.recipes]
        runs = _ordered([Run.read(path) for path in ([directory] if alone else inside)], order)
        problems += _unreadable(directory, runs)
        problems += _rescored(runs, board)
        return cls(directory, runs, not alone, board, diagnosis, robustness, problems)

    @cached_property
    def images(self) -> Sequence[str]:
        """The names of the images that are shown, in the order in which they were done."""
        return self.all_images if self.chosen is None else self.chosen

    @cached_property
    def all_images(self) -> list[str]:
        """The names of all images, likewise."""
        return list(dict.fromkeys(name for run in self.runs for name in run.lines))

    @property
    def rank(self) -> str:
        """The score by which images are worse or better: the leaderboard's, or else the IoU."""
        known = dict.fromkeys(score for run in self.runs for score in run.overview.figures)
        wanted = [self.leaderboard.metric] if self.leaderboard else []
        return next((score for score in (*wanted, MAIN_FIGURE, *known) if score in known), "")


def _ordered(runs: Sequence[Run], names: Sequence[str]) -> list[Run]:
    """The runs that take part, in the order of these names; all of them where none is named.

    A sweep that went on with other recipes leaves folders that no longer take part.
    """
    taking_part = [run for run in runs if run.name in names] or runs
    return sorted(
        taking_part, key=lambda run: names.index(run.name) if run.name in names else len(names)
    )


def _unreadable(directory: Path, runs: Sequence[Run]) -> list[str]:
    """For each run with lines that make no sense a sentence."""
    sentences = []
    for run in runs:
        if run.unreadable:
            lines, are = ("line", "is") if run.unreadable == 1 else ("lines", "are")
            path = (run.directory / "results.jsonl").relative_to(directory).as_posix()
            sentences.append(
                f"{run.unreadable} {lines} of {path} could not be read and {are} left out."
            )
    return sentences


def _rescored(runs: Sequence[Run], board: LeaderboardFile | None) -> list[str]:
    """For each figure that a recipe has counted differently since the leaderboard was made."""
    sentences = []
    for figure, protocol in (board.protocol if board else {}).items():
        for run in runs:
            own = run.summary.protocol.get(figure) if run.summary else None
            if own is not None and own != protocol:
                sentences.append(
                    f"{figure} of {run.name} has been counted differently since the leaderboard "
                    f"was made ({difference(protocol, own)}); the leaderboard's figures are the "
                    "former ones."
                )
    return sentences


def _nothing(directory: Path) -> str:
    """What to say of a folder without results."""
    begun = sorted(directory.glob("recipes/*/recipe.toml"))
    if begun or (directory / "recipe.toml").exists():
        command = "sweep" if begun else "run"
        return (
            f"the {command} in '{directory}' has not finished an image yet (no results.jsonl); "
            f"go on with it by segkit {command} --resume"
        )
    return (
        f"'{directory}' holds no results.jsonl, so it is no run of segkit; "
        "name the folder that segkit run or segkit sweep has written"
    )


def _read_json(path: Path, model: type[_Model], problems: list[str]) -> _Model | None:
    """What a file holds; None if it is missing, or damaged, which goes to `problems`."""
    try:
        return model.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        problems.append(f"{path.name} is damaged and is left out.")
        return None
