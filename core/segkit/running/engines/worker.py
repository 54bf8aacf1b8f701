"""A worker: opens a job's steps once, then makes lines of chunks of images, wherever it runs."""

from __future__ import annotations

import os
import platform
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr

from segkit.deprecations import SegkitWarning
from segkit.errors import BadImageError, SegkitError, UsageError, error_line
from segkit.plugins.contract import classes_of, has_truth, item_of, names_of
from segkit.plugins.observers import Observers
from segkit.plugins.steps import Dataset
from segkit.running.engines.local import Local, Opened
from segkit.running.engines.parcel import Chunk, Item, Parcel, sameness, unpacked, weights_alike
from segkit.running.engines.pool import RefusalError
from segkit.running.folder import UNWRITABLE
from segkit.running.ledger import LEDGER
from segkit.running.lines import Line, line_of
from segkit.running.reading import Wrapper
from segkit.running.recipe_record import version_of
from segkit.running.sources import digest
from segkit.running.walk import Outcome
from segkit.values.types import Image, Truth


def introduced() -> dict[str, Any]:
    """What a worker says first: where it is, and which segkit it has."""
    return {"host": platform.node(), "pid": os.getpid(), "segkit": version_of("segkit")}


class Worker:
    """Works for one driver. What it raises is a `RefusalError`: the run cannot go on with it."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._opened: Opened
        self._names: list[str]
        self._places: dict[str, int] = {}
        self._looked = False
        self._files: dict[str, bool] = {}
        self._hashes: dict[str, Line] = {}
        self._told: dict[str, None] = {}
        warnings.showwarning = self._hear

    def open(self, parcel: Parcel) -> dict[str, Any]:
        """Make the job and open its steps; what the driver needs to know of them."""
        try:
            self._enter(parcel.folder)
            job, options = unpacked(parcel)
            self._names = names_of(job.dataset)
            # Before models are loaded, which takes longer than to see that they are others.
            same = sameness(job, options)
            opening = Local().opened(job, options, Observers())
            self._opened = self._stack.enter_context(opening)
            same |= weights_alike(job, options)
        except SegkitError as error:
            raise RefusalError.of(error) from None
        except Exception as error:
            raise RefusalError.of(
                SegkitError(f"{_here()} could not begin: {error_line(error)}")
            ) from error
        return {
            "classes": dict(self._opened.classes),
            "vocabulary": list(self._opened.vocabulary),
            "chunk": self._opened.batches.images,
            "same": same,
        }

    def work(self, chunk: Chunk) -> Iterator[tuple[str, Line]]:
        """Each line of a chunk with its recipe, as they are finished, their files written."""
        job = self._opened.job
        self._look(job.folder(name) for name in job.plans)
        places = [self._place(item) for item in chunk.items]
        names = [item.name for item in chunk.items]
        part = job.part(_Some.of(job.dataset, places, names), leads=chunk.leads)
        self._files = {item.name: item.from_files for item in chunk.items}
        self._hashes = {}
        done = {r: {i.name for i in chunk.items if r not in i.recipes} for r in job.plans}
        try:
            yield from self._opened.turned_to(part).lines(names, done, self._write)
        except RefusalError:
            raise
        except SegkitError as error:
            raise RefusalError.of(error) from None
        except Exception as error:
            text = f"{_here()} could not go on: {error_line(error)}"
            raise RefusalError.of(SegkitError(text)) from error

    def close(self) -> None:
        """Close the steps."""
        self._stack.close()

    def heard(self) -> list[str]:
        """What there was to warn of since it was last asked."""
        told = list(self._told)
        self._told.clear()
        return told

    def _hear(self, message: Warning | str, category: type[Warning], *_: object, **__: Any) -> None:
        if issubclass(category, SegkitWarning):
            self._told[str(message)] = None

    @staticmethod
    def _enter(folder: str) -> None:
        try:
            os.chdir(folder)
        except OSError:
            raise UsageError(
                f"{_here()} does not see the folder {folder}, from which segkit was started; "
                "start it in a folder that all machines share"
            ) from None

    def _look(self, folders: Iterator[Path]) -> None:
        """Refuse, once, to write where the driver would not find it."""
        for folder in () if self._looked else folders:
            if not (folder / LEDGER).is_file():
                text = (
                    f"{_here()} does not see the run's folder {folder}; choose one by -o that all "
                    "machines share"
                )
                raise RefusalError.of(UsageError(text))
        self._looked = True

    def _place(self, item: Item) -> int | None:
        """Where an image is in this worker's data set; None: it is not there."""
        if item.place < len(self._names) and self._names[item.place] == item.own:
            return item.place
        if not self._places:
            self._places = {name: place for place, name in enumerate(self._names)}
        return self._places.get(item.own)

    def _write(self, recipe: str, outcome: Outcome, name: str = "") -> Line:
        """An image's line for a recipe, after its files are written; the driver has noted it."""
        name, job = name or outcome.name, self._opened.job
        plan, folder = job.plans[recipe], job.folder(recipe)
        try:
            line = line_of(plan, outcome, folder, self._opened.classes, Observers())
        except OSError as error:
            if error.errno not in UNWRITABLE:
                raise
            raise RefusalError("", str(error), recipe, error.errno or 0) from None
        source = None
        if not self._files[name]:
            source = self._hashes.get(name) or digest(outcome.image, outcome.truth)
            self._hashes[name] = source
        return {**line, "name": name, "source": source}


def _here() -> str:
    return f"the worker on {platform.node()}"


class _Some(Wrapper):
    """Some images of a data set, under the names that they have in the run."""

    name = "some"
    _places: Sequence[int | None] = PrivateAttr()
    _names: Sequence[str] = PrivateAttr()

    @classmethod
    def of(cls, dataset: Dataset, places: Sequence[int | None], names: Sequence[str]) -> _Some:
        """Those at these places; None: one that this data set lacks."""
        some = cls()
        some._of, some._places, some._names = dataset, places, names
        return some

    @property
    def names(self) -> Sequence[str]:
        """The names that it was given."""
        return self._names

    @property
    def classes(self) -> dict[int, str]:
        """The data set's."""
        return classes_of(self._of)

    @property
    def has_truth(self) -> bool:
        """The data set's."""
        return has_truth(self._of)

    def __getitem__(self, index: int) -> tuple[Image, Truth | None]:
        """The image and its truth."""
        place = self._places[index]
        if place is None:
            raise BadImageError(
                f"{_here()} does not see {self._names[index]}; put the images where all machines "
                "find them"
            )
        return item_of(self._of, place)


def timed(lines: Iterator[tuple[str, Line]]) -> tuple[list[tuple[str, Line]], float]:
    """All lines of a chunk, and the seconds that they took."""
    start = time.perf_counter()
    return list(lines), time.perf_counter() - start
