"""What an earlier run has left in its folder, file by file, and what clears it away."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from segkit.errors import UsageError
from segkit.running.ledger import (
    LEDGER,
    LOCK,
    Ledger,
    is_run,
    older_files,
    older_recipes,
    record_of,
)
from segkit.running.made_files import MadeFiles
from segkit.running.result_lines import ResultLines
from segkit.values.files import SCRAP

Line = dict[str, Any]
"""An image's line of results.jsonl."""

OWN = ("recipe.toml", "results.jsonl", "summary.json", "report.html")
"""What every run leaves beside its mark; what else there is it notes in its ledger."""


LONGEST = 255
"""Bytes of a file's name."""


class Left:
    """One folder of a run: a recipe's, or that of several recipes' folders. Read when asked."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @cached_property
    def ledger(self) -> Ledger | None:
        """Its notes; None of a run of segkit 0.1.0."""
        return Ledger.read(self.directory)

    @cached_property
    def lines(self) -> ResultLines:
        """Image name to its line of results.jsonl. Raises `UsageError` if it cannot be read."""
        try:
            return ResultLines(self.directory / "results.jsonl")
        except OSError as error:
            raise UsageError(
                f"'{self.directory / 'results.jsonl'}' cannot be read "
                f"({error.strerror or error}); mend that, or choose another folder"
            ) from None

    @cached_property
    def files(self) -> MadeFiles:
        """The files that the run has made, without its recipes' folders.

        Relative to the folder, with `/`. Of images that a crash has cut off, the files of the same
        sort that finished ones have; where none has finished, what its writers' folders hold of
        them.
        """
        lines, ledger = self.lines, self.ledger
        others = older_files(self.directory) if ledger is None else ledger.files
        levels = 0 if ledger is None else ledger.levels
        cut_off = {name for name in (ledger.begun if ledger else ()) if name not in lines}
        named = ((name, files_named({"files": line.files})) for name, line in lines.items())
        files = MadeFiles(lines, named, others, levels)
        if files.has_sorts:
            files.add_cut_off(cut_off)
        elif cut_off:
            files.add(self._of_images(cut_off))
        return files

    def _of_images(self, names: Collection[str]) -> set[str]:
        """What the folders of the run's writers hold of these images."""
        steps = (record_of(self.directory) or {}).get("plugins")
        steps = steps if isinstance(steps, list) else []
        writers = {
            s.get("name") for s in steps if isinstance(s, dict) and s.get("kind") == "writer"
        }
        return {
            f"{writer}/{file}"
            for writer in writers
            if isinstance(writer, str) and is_inside(self.directory / writer, self.directory)
            for file in files_in(self.directory / writer)
            if PurePosixPath(file).stem in names
        }

    @cached_property
    def folders(self) -> set[str]:
        """The folders in it that have files of the run."""
        return {folder.partition("/")[0] for folder in self.files.folders} - {""}

    @cached_property
    def places(self) -> set[str]:
        """The folders in it, however deep, that hold files of the run; relative to it."""
        folders = self.files.folders - {""}
        return {f for f in folders if is_inside(self.directory / f, self.directory)}


def left_in(directory: Path) -> list[Left]:
    """The folders of a run's recipes, then its own; none where there is no run."""
    if not is_run(directory):
        return []
    ledger = Ledger.read(directory)
    names = sorted(ledger.recipes) if ledger else older_recipes(directory)
    nested = [directory / "recipes" / name for name in names]
    return [Left(path) for path in (*filter(is_run, nested), directory)]


def remove_run(directory: Path) -> None:
    """Remove what a run has made, and the folders that are empty then; all else stays."""
    several = left_in(directory)
    for left in several:  # those of segkit 0.1.0 get a mark: this may be cut off
        Ledger.open(left.directory)
    emptied: set[Path] = set()
    for left in several:
        folder = left.directory
        places = {"", *left.places}
        for place in places:
            _unlink(path for path in (folder / place).glob(".*") if SCRAP.fullmatch(path.name))
        own = (file for file in left.files if file.rpartition("/")[0] in places)
        _unlink(folder / file for file in own if file.rpartition("/")[2] not in OWN)
        # What the run is known by goes last: until then, it may be cut off.
        left.lines.close()
        last = (f"{place}/{name}".lstrip("/") for place in places for name in OWN)
        _unlink(folder / file for file in last if file in left.files)
        # A lock in a recipe's folder is that of a process that is gone: ours is in `directory`.
        _unlink([folder / LEDGER, *[folder / LOCK] * (folder != directory)])
        inside = (folder / place for place in places)
        above = {path for place in inside for path in (place, *place.parents)}
        emptied |= {path for path in above if directory in path.parents}
    for path in sorted(emptied, key=lambda p: -len(p.parts)):
        with contextlib.suppress(OSError):  # something of the user's is in it
            path.rmdir()


def _unlink(paths: Iterable[Path]) -> None:
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError:
            if not path.is_dir():  # a folder is no file that was made
                raise


def is_inside(place: Path, folder: Path) -> bool:
    """Whether a folder lies in another, or is it: no `..` and no link leads out of it."""
    below = Path(os.path.relpath(place, folder))
    real = Path(os.path.realpath(folder), below)
    return os.pardir not in below.parts and os.path.realpath(place) == str(real)


def is_own(folder: Path, name: str) -> bool:
    """Whether a folder has a file of this name of its own: no `..`, no link leads out of it."""
    place = folder / name
    return is_inside(place, folder) and place.is_file()


def files_in(directory: Path) -> Iterator[str]:
    """Every file below a folder; relative to it, with `/`. Links are listed, not followed."""
    for folder, _, names in os.walk(directory):
        below = os.path.relpath(folder, directory).replace(os.sep, "/") + "/"
        yield from names if below == "./" else (below + name for name in names)


class FilesThere:
    """The files that are below a folder at one time; see `files_in`.

    They are known by 64 bits of a hash of their names, for there may be millions: a new one is
    taken for one of a million that were there once in 10^13 times.
    """

    def __init__(self, directory: Path) -> None:
        self._hashes = np.sort(np.fromiter(map(hash, files_in(directory)), np.int64))

    def __contains__(self, file: str) -> bool:
        wanted = hash(file)
        place = int(np.searchsorted(self._hashes, wanted))
        return place < len(self._hashes) and int(self._hashes[place]) == wanted


def files_named(line: Mapping[str, Any]) -> list[str]:
    """The files that a line of results.jsonl names, without what cannot be a file's name.

    Neither can what the run is known by: a line that names it was not written by a run.
    """
    files = line.get("files")
    names = [name for name in files if isinstance(name, str)] if isinstance(files, list) else []
    own = {*OWN, LEDGER, LOCK}
    return [name for name in names if name not in own and _is_name(name)]


def _is_name(name: str) -> bool:
    """Whether a text can be the name of a file in a folder, as far as systems agree on that."""
    try:
        parts = os.fsencode(name).split(b"/")
    except ValueError:  # letters that no file's name has
        return False
    inside = not name.startswith("/") and b".." not in parts
    return inside and "\0" not in name and max(map(len, parts)) <= LONGEST
