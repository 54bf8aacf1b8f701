"""What a session does with each image: its plans, and what comes of their outcomes.

A `Job` makes one line of results.jsonl for each plan and image. A diagnosis and a
robustness test are jobs of their own (in `segkit.comparing`), which add branches to the graph and
keys to the lines.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias

from pydantic import PrivateAttr

from segkit.errors import UsageError
from segkit.plugins.contract import item_of, names_of
from segkit.plugins.steps import Dataset, Step
from segkit.running.asked import classes_for
from segkit.running.graph import Branch, Graph
from segkit.running.lines import Line
from segkit.running.lock import check_on_disk
from segkit.running.plan import Plan
from segkit.running.reading import Wrapper
from segkit.running.records import Lines
from segkit.running.result_lines import ResultLines
from segkit.running.walk import Outcome
from segkit.values.types import Image, Truth

if TYPE_CHECKING:
    from segkit.running.options import RunOptions


class Write(Protocol):
    """Writes an image's files for a recipe, and makes its line."""

    def __call__(self, recipe: str, outcome: Outcome, name: str = "") -> Line:
        """`name`: the image's, where it is not the outcome's."""


Skip: TypeAlias = Mapping[str, Collection[str]]
"""Recipe or branch to the names of images that need not be done."""


class Job:
    """Plans over one data set, each image of it a line for each of them."""

    needs: ClassVar[str | None] = None
    """A key of its lines; those of an earlier run without it are done again."""

    def __init__(
        self,
        plans: Mapping[str, Plan],
        directory: Path,
        *,
        nested: bool,
        files: Sequence[str] = (),
    ) -> None:
        """`nested`: each plan's folder is `directory/recipes/NAME`, else `directory` itself.

        `files`: what will be written into `directory` beside the recipes' own files.

        Raises `UsageError` for no plans, plans of different data sets, and names that cannot be a
        folder's, and for an address in place of the folder.
        """
        check_on_disk(directory)
        datasets = [plan.dataset for plan in plans.values()]
        if not datasets:
            raise UsageError("there is nothing to run; give at least one plan")
        if any(dataset != datasets[0] for dataset in datasets):
            raise UsageError("plans that run together need one data set; they have different ones")
        for name in plans if nested else ():
            if name in ("", ".", "..") or {"/", "\\", "\0"} & set(name):
                raise UsageError(
                    f"a recipe's name is its folder's, so {name!r} cannot be one; choose a plain "
                    "name"
                )
        self.plans = dict(plans)
        self.directory = directory
        self.nested = nested
        self.files = tuple(files)
        self.dataset: Dataset = datasets[0]

    def folder(self, recipe: str) -> Path:
        """The folder of a recipe's results."""
        return self.directory / "recipes" / recipe if self.nested else self.directory

    def results(self) -> dict[str, Lines]:
        """What was written: recipe to image name to line, whatever the order in which it was.

        Images come as the data set has them, then others by name. Raises `OSError`.
        """
        ranks = {name: rank for rank, name in enumerate(names_of(self.dataset))}
        results: dict[str, Lines] = {}
        for recipe in self.plans:
            lines = ResultLines(self.folder(recipe) / "results.jsonl")
            names = sorted(lines, key=lambda name: (ranks.get(name, len(ranks)), name))
            results[recipe] = {name: lines[name] for name in names}
        return results

    def classes(self, asked: Sequence[str], vocabulary: Sequence[str] = ()) -> dict[int, str]:
        """{id: name} of the run; see `running.asked`."""
        return classes_for(self.dataset, asked, vocabulary)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps to open that are in no graph of work."""
        last = [s for plan in self.plans.values() for s in (*plan.metrics, *plan.writers)]
        return (self.dataset, *last)

    def branches(self, graph: Graph) -> dict[str, Branch]:
        """The work to do, by the name that its outcomes have."""
        return {name: graph.branch(plan) for name, plan in self.plans.items()}

    def places(self, names: Sequence[str]) -> tuple[Dataset, Sequence[str]]:
        """What is walked, and what its parts are called: here the images, under these names."""
        return Renamed.of(self.dataset, names), names

    def skip(self, done: Skip) -> Skip:
        """What each branch need not do, of what each recipe has done."""
        return done

    def check(self, *, resume: bool) -> None:
        """Refuse, with `UsageError`, to go on with what was asked otherwise."""

    def is_intact(self, line: Line) -> bool:
        """Whether what the job itself has written of a finished image is still there."""
        return True

    def start(self, finished: Iterator[Line]) -> None:
        """The folders are made; `finished`: the lines of an earlier run, read when asked for."""

    def lines(self, outcomes: Iterator[Outcome], write: Write) -> Iterator[tuple[str, Line]]:
        """Each finished line with its recipe, as the outcomes come."""
        for outcome in outcomes:
            yield outcome.recipe, write(outcome.recipe, outcome)

    # ---- where other processes do it -----------------------------------------------------------

    def settings(self, options: RunOptions) -> dict[str, Any]:
        """What `of_settings` needs beside the plans to make this job again, as plain values."""
        return {"nested": self.nested}

    @classmethod
    def of_settings(
        cls,
        plans: Mapping[str, Plan],
        directory: Path,
        options: RunOptions,
        settings: Mapping[str, Any],
    ) -> Job:
        """The job that these settings are of, in another process."""
        return cls(plans, directory, **settings)

    def part(self, dataset: Dataset, *, leads: bool) -> Job:
        """The same for some of its images; `leads`: see `led`."""
        some = copy.copy(self)
        some.dataset = dataset
        return some

    def led(self, line: Line | None = None) -> bool:
        """Whether what the job does with the first good image alone is done: before, or here."""
        return True

    def lost(self, line: Line) -> Line:
        """The line of an image that failed before any branch has looked at it."""
        return line


class Renamed(Wrapper):
    """A data set whose images have other names."""

    name = "renamed"
    _names: Sequence[str] = PrivateAttr()

    @classmethod
    def of(cls, dataset: Dataset, names: Sequence[str]) -> Renamed:
        """The images of a data set under these names, one for each."""
        renamed = cls()
        renamed._of, renamed._names = dataset, names
        return renamed

    @property
    def names(self) -> Sequence[str]:
        """The names that it was given."""
        return self._names

    def __getitem__(self, index: int) -> tuple[Image, Truth | None]:
        """The image under its new name, and its truth."""
        image, truth = item_of(self._of, index)
        name = self._names[index]
        return image if image.name == name else replace(image, name=name), truth
