"""A run's folder, and each file in it as it is written; what is left to do `session.py` decides.

segkit-run.jsonl  what marks the folder as a run's (see `segkit.running.ledger`)
recipe.toml       the whole plan, written before the first image
results.jsonl     one line for each finished image, appended as it finishes
summary.json      written last
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from segkit.errors import SegkitError, UsageError, shortened
from segkit.running.ledger import LEDGER, Ledger, is_empty, is_run, record_of
from segkit.running.owned import (
    OWN,
    FilesThere,
    Left,
    Line,
    files_in,
    files_named,
    is_inside,
    remove_run,
)
from segkit.running.recipe import Recipe
from segkit.running.recipe_record import (
    comparable,
    differing,
    to_toml,
    without_joined,
)
from segkit.running.records import ResultLine, RunSummary
from segkit.values.files import SCRAP, json_lines, write_file, writing


def check(directory: Path, *, resume: bool = False, overwrite: bool = False) -> bool:
    """Whether there is a run to go on with or to replace; nothing is changed.

    Raises `UsageError` if the folder is not empty and neither is asked for, or holds no run.
    """
    try:
        if directory.exists() and not directory.is_dir():
            raise UsageError(f"-o {directory} is a file; choose a folder")
        if not directory.exists() or is_empty(directory):
            return False
    except OSError as error:
        raise UsageError(
            f"-o {shortened(directory)} cannot be read: {error.strerror}; choose another folder"
        ) from None
    asked = "--resume: " if resume else "--overwrite: " if overwrite else "-o "
    if LEDGER in (record_of(directory) or {}).values() and not (directory / LEDGER).is_file():
        raise UsageError(
            f"{asked}{directory} holds the recipe.toml of a run, but no {LEDGER}, which marks a "
            "run's folder; put it back, or choose another folder"
        )
    if not is_run(directory):
        raise UsageError(
            f"{asked}{directory} holds files, but no run of segkit; choose another folder"
        )
    if not (resume or overwrite):
        raise UsageError(
            f"-o {directory} is not empty; add --resume to go on with it, --overwrite to "
            "start again, or choose another folder"
        )
    return True


def prepare(
    directory: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    files: Iterable[str] = (),
    recipes: Iterable[str] = (),
    levels: int = 0,
) -> bool:
    """Make and mark a run's folder; if `overwrite` says so, what an earlier run left goes first.

    `files` and `recipes` are noted as the run's, and how deep its subfolders are, `levels`. Gives
    back whether there is a run to go on with.

    Raises `UsageError` as `check` does, and if the folder cannot be made or emptied.
    """
    there = check(directory, resume=resume, overwrite=overwrite)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if there and overwrite:
            remove_run(directory)
        ledger = Ledger.open(directory, levels)
        ledger.note(files)
        ledger.note_recipes(recipes)
    except OSError as error:
        raise UsageError(
            f"-o {shortened(directory)} cannot be made: {error.strerror}; choose another folder"
        ) from None
    return there and resume and not overwrite


def check_free(directory: Path, names: Iterable[str]) -> None:
    """Refuse to write over files in a run's folder that the run has not made."""
    ledger = Ledger.read(directory)
    for name in names:
        if ledger is not None and name not in ledger.files and (directory / name).exists():
            raise UsageError(
                f"-o {directory}: {directory / name} is no file of this run, and would be written "
                "over; move it, or choose another folder"
            )


class Record:
    """One recipe's folder while it is being run."""

    def __init__(self, directory: Path, recipe: Mapping[str, Any], levels: int = 0) -> None:
        """`levels`: how deep the subfolders of its images' files are; see `values.spreading`."""
        self.directory = directory
        self.levels = levels
        self.results = directory / "results.jsonl"
        self.finished: set[str] = set()
        """The names of the images that need no second run."""
        record = {**recipe.get("record", {}), "ledger": LEDGER}
        self._recipe = {**recipe, "record": record}
        self._ledger = Ledger(directory)
        self._there: FilesThere | None = None
        """The files that were there before those of the first image; None once it is written."""
        self._compared = False
        self.kept = 0
        """How many lines results.jsonl holds, of this run and of the one that it goes on with."""

    @classmethod
    def of(cls, directory: Path) -> Record:
        """That of a run which is there, whose files are noted as its own from now on."""
        record = cls(directory, {})
        record._ledger = Ledger.open(directory)
        return record

    @property
    def notes(self) -> Path:
        """The file of notes of what the run has made."""
        return self._ledger.path

    def note(self, files: Iterable[str]) -> None:
        """Note files of the run, relative to its folder."""
        self._ledger.note(files)

    def check(
        self, left: Left | None, writers: Iterable[str], images: Iterable[str], *, resume: bool
    ) -> None:
        """Refuse, before anything is touched, another recipe and what is in the way.

        `left`: what an earlier run has left in the folder. `writers` and `images`: the names of the
        steps and of the images that will have files. Raises `UsageError`.
        """
        if left is None:
            return
        if resume:
            self._check_same_recipe()
        check_free(self.directory, OWN)
        if left.ledger is None or not left.ledger.complete:
            return  # of a run of segkit 0.1.0 it is not known what a crash has left
        new = {*images} - left.ledger.begun
        for folder in sorted({*writers} | left.folders):
            others = (
                f"{folder}/{file}"
                for file in files_in(self.directory / folder)
                if folder not in left.folders or PurePosixPath(file).stem in new
            )
            name = min((name for name in others if name not in left.files), default=None)
            if name is not None:
                raise UsageError(
                    f"-o {self.directory}: {self.directory / name} is no file of this run, and "
                    "could be written over; move it, or choose another folder"
                )

    def note_weights(self, tables: Mapping[str, Any], *, resume: bool) -> None:
        """Record the weight files once more; steps fetch some of them when they are opened.

        `tables`: as `pins.recorded_pins` makes them. Raises `UsageError` where `resume` goes on
        with a run that had others.
        """
        self._recipe["record"] |= tables
        path = self.directory / "recipe.toml"
        if resume and path.exists():
            self._check_same_weights(Recipe.load(path))

    def start(
        self,
        finished: Iterable[Line] = (),
        left: Collection[str] = (),
        *,
        resume: bool = False,
        overwrite: bool = False,
    ) -> Path | None:
        """Make the folder, or take up the run that is there.

        `finished`: its lines that stay, with no need to be done again; `left`: the files of others,
        known when these are told. Those are moved to the folder that is given back.

        Raises `UsageError` if the folder is not empty and neither `resume` nor `overwrite` is
        asked for, or if it cannot be made.
        """
        aside = None
        there = prepare(
            self.directory, resume=resume, overwrite=overwrite, files=OWN, levels=self.levels
        )
        if there:
            if self.results.exists():
                with writing(self.results, sync=True) as file:
                    for line in finished:
                        file.write(ResultLine.model_validate(line).text().encode())
                        self.finished.add(line["name"])
            self.kept = len(self.finished)
            aside = self._set_aside(left)
        self._ledger = Ledger.open(self.directory)
        text = to_toml(self._recipe).encode("utf-8", "replace").decode()
        write_file(self.directory / "recipe.toml", text, sync=True)
        return aside

    def lines(self) -> Iterator[Line]:
        """Each line that results.jsonl holds by now, as far as it can be read."""
        with contextlib.suppress(OSError):
            yield from json_lines(self.results)

    def close(self) -> None:
        """Let go of the files that are open."""
        self._ledger.close()

    def begin(self, image: str) -> None:
        """Note that an image's files are about to be written."""
        self._ledger.begin(image)
        if not self._compared:
            self._compared, self._there = True, FilesThere(self.directory)

    def end(self, line: Line) -> None:
        """Note what the first image's files have brought beside those that its line names."""
        if self._there is not None:  # what a writer shares between images is there from the first
            there, own = self._there, files_named(line)
            new = [f for f in files_in(self.directory) if f not in there and f not in own]
            others = self._ledger.begun - {line["name"]}  # which other processes are at
            paths = [PurePosixPath(name) for name in new]
            self._ledger.note(
                path.as_posix()
                for path in paths
                if path.stem not in others and not SCRAP.fullmatch(path.name)
            )
            self._there = None

    def append(self, lines: Sequence[Line]) -> None:
        """Add images' lines; on a full disk the file ends with the last whole line."""
        text = "".join(ResultLine.model_validate(line).text() for line in lines)
        before = self.results.stat().st_size if self.results.exists() else 0
        try:
            with self.results.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError:
            with contextlib.suppress(OSError):
                os.truncate(self.results, before)
            raise
        self.kept += len(lines)

    def note_finish(self, finish: Callable[[Path], Any]) -> None:
        """Call a writer's `finish`, and note the files that it made.

        These are the paths that it gives back, or, where it gives none, the files that are new.
        """
        before = FilesThere(self.directory)
        returned = finish(self.directory)
        if isinstance(returned, (tuple, list)) and all(
            isinstance(p, (str, Path)) for p in returned
        ):
            names = {os.path.relpath(p, self.directory).replace(os.sep, "/") for p in returned}
        else:
            names = {name for name in files_in(self.directory) if name not in before}
        self._ledger.note(names)

    def unwritable(self, error: OSError, finished: int) -> SegkitError:
        """What to tell when the disk refuses and so many images are finished."""
        return disk_error(error, self.directory, finished)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write summary.json, beside results.jsonl: an empty one where there was no image."""
        if not self.results.exists():
            write_file(self.results, "", sync=True)
        text = RunSummary.model_validate(summary).text()
        write_file(self.directory / "summary.json", text, sync=True)

    def _check_same_weights(self, earlier: Recipe) -> None:
        weights = self._recipe.get("record", {}).get("weights", {})
        for file, (digest, _) in earlier.pins.items():
            if weights.get(file, digest) != digest:
                raise UsageError(
                    f"--resume: the weights {file} have changed since {self.directory} was run; "
                    "give the same file, or choose another folder"
                )

    def _check_same_recipe(self) -> None:
        path = self.directory / "recipe.toml"
        if not path.exists() and not self.results.exists():
            return  # it ended before it began
        if not path.exists():
            raise UsageError(
                f"--resume: {self.directory} has lost its recipe.toml, so nobody can tell whether "
                "this is the same recipe; put it back, or choose another folder"
            )
        earlier = Recipe.load(path)
        before = comparable(earlier)
        now = comparable(without_joined(Recipe.from_dict(self._recipe), earlier))
        shards = [r.get("shard") for r in (record_of(self.directory) or {}, self._recipe["record"])]
        if shards[0] != shards[1]:
            was, now_is = (f"with --shard {s}" if s else "without --shard" for s in shards)
            raise UsageError(
                f"--resume: {self.directory} was run {was}, now it is run {now_is}; ask for the "
                "same, or choose another folder"
            )
        self._check_same_weights(earlier)
        if (difference := differing(before, now)) is not None:
            raise UsageError(
                f"--resume: {self.directory} was run with {difference[0]}, now it is "
                f"{difference[1]}; ask for the same, or choose another folder"
            )

    def _set_aside(self, files: Collection[str]) -> Path | None:
        """Move files of images that are gone or have changed to a folder, and give that back."""
        places = [self.directory / name for name in files]
        inside = {p for p in {path.parent for path in places} if is_inside(p, self.directory)}
        there = [p for p in places if p.parent in inside and p.is_file()]
        if not there:
            return None
        number = itertools.count(2)
        target = self.directory / "earlier"
        while target.exists():
            target = self.directory / f"earlier-{next(number)}"
        moves = {path: target / path.relative_to(self.directory) for path in there}
        Ledger.open(self.directory).note(
            new.relative_to(self.directory).as_posix() for new in moves.values()
        )
        for old, new in moves.items():
            new.parent.mkdir(parents=True, exist_ok=True)
            old.replace(new)
        return target


FULL = (errno.ENOSPC, errno.EDQUOT)

UNWRITABLE = (*FULL, errno.EROFS, errno.EIO, errno.ENXIO, errno.ENODEV)
"""What is wrong with a disk, not with one file."""


def disk_error(error: OSError, directory: Path, finished: int) -> SegkitError:
    """What to tell when the run's folder can no longer be written."""
    full = error.errno in FULL
    reason = "the disk is full" if full else f"it cannot be written ({error.strerror or error})"
    advice = "make room" if full else "mend that"
    return SegkitError(
        f"writing to {directory} stopped because {reason}; {finished} finished images are kept: "
        f"{advice} and go on with --resume"
    )
