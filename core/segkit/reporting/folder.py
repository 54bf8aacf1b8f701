"""What lies in the folder of a run, a sweep, a diagnosis or an examination, read leniently.

A page is made of what can be read; what cannot is named in `problems`.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from segkit.errors import UsageError
from segkit.kinds import IN_RECIPES
from segkit.running.recipe import Part, Recipe

_WHOLE_RUN = {"dataset", "saliency", "transform", "prompt", "segmenter", "selector", "fuser"}


class _Read(BaseModel):
    """Read from a JSON file; keys that are not known are left out."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=True)


class Estimate(_Read):
    """A figure with its 95 % interval; null where there is none."""

    mean: float | None = None
    low: float | None = None
    high: float | None = None


class Row(_Read):
    """A recipe on the leaderboard."""

    recipe: str
    options: dict[str, Any] = {}
    words: str = ""
    scores: dict[str, Estimate] = {}
    seconds: dict[str, float] = {}
    """Step to seconds an image."""
    images: int | None = None
    failed: int = 0
    verdict: str = ""
    """This recipe against the next one, in words."""


class Pair(_Read):
    """Two recipes compared."""

    better: str
    worse: str
    metric: str = ""
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    distinguishable: bool = False
    sentence: str = ""


class Skipped(_Read):
    """A combination that could not be run."""

    recipe: str
    reason: str = ""


class Leaderboard(_Read):
    """leaderboard.json."""

    metric: str = "iou"
    higher_is_better: bool = True
    images: int | None = None
    rows: list[Row]
    """Best first."""
    pairs: list[Pair] = []
    skipped: list[Skipped] = []
    caution: str = ""

    @property
    def metrics(self) -> list[str]:
        """Every metric, the one that it is sorted by first."""
        found = dict.fromkeys(m for row in self.rows for m in row.scores)
        return sorted(found, key=lambda m: m != self.metric)


class Losses(_Read):
    """Where the IoU went: `selection + prompt + segmenter = 1 - iou`, each part signed."""

    recipe: str
    iou: float
    best_candidate: float | None = None
    true_point: float | None = None
    true_box: float | None = None
    selection: float
    prompt: float
    segmenter: float


class RecipeLosses(Losses):
    """A recipe's means; `saliency + placement = prompt`."""

    saliency: float
    placement: float
    intervals: dict[str, tuple[float, float]] = {}
    reading: str = ""


class ImageLosses(Losses):
    """One image; all of the prompt's part goes to its `cause`."""

    name: str
    cause: str = "placement"


class Diagnosis(_Read):
    """diagnosis.json."""

    images: int | None = None
    recipes: list[RecipeLosses]
    rows: list[ImageLosses] = []


class Level(_Read):
    """One recipe under one kind of damage, at one level."""

    level: int
    figure: Estimate = Estimate()
    heatmap_drift: Estimate | None = None
    prompt_moved: Estimate | None = None
    prompt_moved_share: Estimate | None = None
    mask_lost: Estimate | None = None
    true_iou: Estimate | None = None


class Borne(_Read):
    """One recipe under one kind of damage."""

    recipe: str
    perturbation: str
    images: int | None = None
    points: list[Level]
    area: Estimate = Estimate()
    kept: Estimate = Estimate()
    gives_way: dict[str, int | None] = {}
    gives_way_first: str | None = None


class Damage(_Read):
    """A perturbation."""

    name: str
    damages: str = "image"
    options: dict[str, Any] = {}
    summary: str = ""


class Examined(_Read):
    """A recipe that was examined."""

    recipe: str
    words: str = ""
    mean_area: float | None = None
    mean_kept: float | None = None
    reading: str = ""


class DamagePicture(_Read):
    """An example of damage: a file in the folder."""

    image: str
    recipe: str = ""
    perturbation: str | None = None
    level: int = 0
    file: str


class Robustness(_Read):
    """robustness.json."""

    figure: str = "iou"
    higher_is_better: bool = True
    levels: int
    images: int | None = None
    limits: dict[str, float] = {}
    perturbations: list[Damage] = []
    recipes: list[Examined]
    """The best first."""
    curves: list[Borne]
    pictures: list[DamagePicture] = []
    skipped: list[Skipped] = []


class ClassRow(_Read):
    """How well one class was found, in a metric's details."""

    name: str
    iou: float | None = None
    dice: float | None = None
    pixels: float | None = None
    found: float | None = None


class Confusion(_Read):
    """Pixels by true class (down) and found class (across)."""

    names: list[str] = []
    """Of the columns; the rows have the first of them."""
    pixels: list[list[float]] = []


class Details(_Read):
    """What a metric tells beside its figures, in summary.json."""

    classes: list[ClassRow] = []
    confusion: Confusion = Confusion()

    @property
    def fits(self) -> bool:
        """Whether it holds a table, and each row of the matrix has a name and all its cells."""
        width, rows = len(self.confusion.names), self.confusion.pixels
        whole = len(rows) <= width and all(len(row) == width for row in rows)
        return whole and bool(self.classes or rows)


@dataclass
class Run:
    """What one recipe left in its folder."""

    directory: Path
    name: str
    """The recipe's name; that of a run alone is its folder's."""
    lines: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Image name to its line of results.jsonl; of two lines the later one."""
    unreadable: int = 0
    """How many lines of results.jsonl make no sense."""
    summary: dict[str, Any] | None = None
    """summary.json; None before the run has finished."""
    recipe_text: str = ""
    recipe: Recipe | None = None
    """recipe.toml; None if it is missing or damaged."""

    @classmethod
    def read(cls, directory: Path) -> Run:
        """Read a folder that holds results.jsonl. Raises `UsageError` if that cannot be read."""
        run = cls(directory, directory.resolve().name)
        path = directory / "results.jsonl"
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise UsageError(f"'{path}' cannot be read: {error.strerror or error}") from None
        # Only \n ends a line: names may hold what str.splitlines takes for an end.
        for row in filter(str.strip, text.split("\n")):
            line = _line(row)
            if line is None:
                run.unreadable += 1
            else:
                run.lines[line["name"]] = line
        run.summary = _summary(directory / "summary.json")
        try:
            run.recipe_text = (directory / "recipe.toml").read_text(encoding="utf-8")
            run.recipe = Recipe.load(directory / "recipe.toml")
        except (OSError, UnicodeDecodeError, UsageError):
            pass  # the page says that it is missing
        return run

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The lines of the images that failed."""
        return [line for line in self.lines.values() if line["status"] != "ok"]

    @property
    def seconds(self) -> dict[str, float]:
        """Step to seconds over all images, from the lines, so that it is there at any time."""
        total: dict[str, float] = {}
        for line in self.lines.values():
            for step, spent in line["seconds"].items():
                total[step] = total.get(step, 0) + spent
        return total

    @property
    def details(self) -> dict[str, Details]:
        """Metric to what it tells of each class, where it does."""
        there = (self.summary or {}).get("details")
        found = {}
        for metric, one in there.items() if isinstance(there, dict) else ():
            with contextlib.suppress(ValidationError):
                details = Details.model_validate(one)
                if details.fits:
                    found[metric] = details
        return found

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
    leaderboard: Leaderboard | None = None
    diagnosis: Diagnosis | None = None
    robustness: Robustness | None = None
    problems: list[str] = field(default_factory=list)
    """What could not be read, in sentences."""

    @classmethod
    def read(cls, directory: Path) -> Folder:
        """Find out what a folder holds. Raises `UsageError` where that is nothing of ours."""
        if not directory.is_dir():
            raise UsageError(
                f"there is no folder '{directory}'; name the one that segkit run has written"
            )
        problems: list[str] = []
        board = _read_json(directory / "leaderboard.json", Leaderboard, problems)
        diagnosis = _read_json(directory / "diagnosis.json", Diagnosis, problems)
        robust = _read_json(directory / "robustness.json", Robustness, problems)
        inside = sorted(p.parent for p in directory.glob("recipes/*/results.jsonl"))
        alone = not inside and (directory / "results.jsonl").exists()
        if not (inside or alone or board or diagnosis or robust):
            raise UsageError(_nothing(directory))
        runs = [Run.read(path) for path in ([directory] if alone else inside)]
        order = [row.recipe for row in board.rows] if board else []
        order = order or [one.recipe for one in robust.recipes] if robust else order
        # A sweep that went on with other recipes leaves folders that no longer take part.
        runs = [run for run in runs if run.name in order] or runs
        runs.sort(key=lambda run: order.index(run.name) if run.name in order else len(order))
        for run in runs:
            if run.unreadable:
                one = run.unreadable == 1
                problems.append(
                    f"{run.unreadable} {'line' if one else 'lines'} of "
                    f"{(run.directory / 'results.jsonl').relative_to(directory).as_posix()} could "
                    f"not be read and {'is' if one else 'are'} left out."
                )
        return cls(directory, runs, not alone, board, diagnosis, robust, problems)

    @property
    def images(self) -> list[str]:
        """The names of all images, in the order in which they were done."""
        return list(dict.fromkeys(name for run in self.runs for name in run.lines))


def recipe_in_words(recipe: Recipe) -> str:
    """The steps from image to labels: `shapes → gradcam → topk → sam → score → paint`."""
    return " → ".join(_joined(parts) for _, parts in _spine(recipe))


def steps_of(recipe: Recipe) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Kind, name and options of each step on the way; options that are empty are left out."""
    steps = []
    for kind, parts in _spine(recipe):
        for part in parts:
            given = {o: v for o, v in part.options.items() if v not in ("", [])}
            options = [(o.replace("_", "-"), _shown(v)) for o, v in given.items()]
            steps.append((kind, part.name, options))
    return steps


def finite(value: float | None) -> float | None:
    """The value, or None where it is no finite number."""
    return value if value is not None and math.isfinite(value) else None


def _spine(recipe: Recipe) -> list[tuple[str, Sequence[Part]]]:
    return [(k, recipe.parts[k]) for k in IN_RECIPES if k in _WHOLE_RUN and recipe.parts.get(k)]


def _joined(parts: Sequence[Part]) -> str:
    """Names in a row; prompters that make one prompt together are joined by +."""
    text = parts[0].name
    for part in parts[1:]:
        text += f" + {part.name}" if part.merge else f", {part.name}"
    return text


def _shown(value: Any) -> str:
    """An option's value in little room."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        text = ", ".join(_shown(v) for v in value[:3])
        return f"{text}, … ({len(value)})" if len(value) > 3 else text
    return str(value)


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


_Model = TypeVar("_Model", bound=_Read)


def _read_json(path: Path, model: type[_Model], problems: list[str]) -> _Model | None:
    """What a file holds; None if it is missing, or damaged, which goes to `problems`."""
    try:
        return model.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError, ValidationError):
        problems.append(f"{path.name} is damaged and is left out.")
        return None


def _line(text: str) -> dict[str, Any] | None:
    """One image's line, or None where it was cut off or is none of ours."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(line, dict) or not isinstance(line.get("name"), str):
        return None
    if line.get("status") not in ("ok", "failed"):
        return None
    tables = {key: _numbers(line.get(key, {})) for key in ("scores", "seconds")}
    if None in tables.values() or not isinstance(line.get("files", []), list):
        return None
    return {**line, **tables}


def _numbers(table: Any) -> dict[str, float] | None:
    """A table of names to numbers, or None if it is something else."""
    if not isinstance(table, dict) or not all(isinstance(v, (int, float)) for v in table.values()):
        return None
    return table


def _summary(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    scores = _numbers(found.get("scores")) if isinstance(found, dict) else None
    return None if scores is None else {**found, "scores": scores}
