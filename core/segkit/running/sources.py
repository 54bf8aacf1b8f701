"""The images of a run: their names, their files, and which of them a resumed run does again.

An image is known by its file. Where a run goes on, the image of each file keeps the name that it
had, whatever files came beside it; a file of another size or time of change is done again, and what
is there no more leaves the results. What comes from no file is known by its pixels.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.plugins.contract import names_of
from segkit.plugins.named_files import files_of
from segkit.plugins.steps import Dataset
from segkit.running.calling import Failure
from segkit.running.owned import Line, files_named
from segkit.running.shards import Shard
from segkit.running.walk import read_task
from segkit.values.image_names import distinct, folded
from segkit.values.types import Image, Truth

KEYS = ("counts", "seconds")
"""What a line of a finished image has; one without is none of ours."""

SHOWN = 3
"""So many names stand in a sentence."""


@dataclass
class RunImages:
    """The images of a data set, as one run has them."""

    dataset: Dataset
    names: list[str]
    """Each image's name in this run."""
    files: list[tuple[Path, ...]]
    """The files that each comes from, its own first, then those of its truth; empty: none."""
    sources: list[Line | None]
    """What is known of these files; None where there is none."""
    known: dict[Path, os.stat_result | None]
    """What the disk says of each of the files; None where there is no such file."""
    links: set[Path]
    """Those that are symbolic links."""
    left_out: set[int] = field(default_factory=set)
    """Those that are files of the very run, such as a pattern finds."""
    elsewhere: frozenset[int] = frozenset()
    """Those of other shards."""
    _told: dict[str, dict[str, None]] = field(default_factory=dict)
    """Verdict to the names of its images; a key of `_SENTENCES`."""
    _hashes: dict[str, Line] = field(default_factory=dict)

    @classmethod
    def of(cls, dataset: Dataset, shard: Shard | None = None) -> RunImages:
        """All images of a data set under its own names; files are looked up, not read.

        Where a run does a `shard` alone, the others are known, but not its own.

        That is before the first is read, so whatever changes from then on is found later.
        """
        names = names_of(dataset)
        files = [files_of(dataset, i) for i in range(len(names))]
        known: dict[Path, os.stat_result | None] = {}
        links: set[Path] = set()
        for path in (path for several in files for path in several):
            if path not in known:  # many images may have one file of annotations
                known[path] = _status(path, links)
        stamps = {path: _stamp(path, status) for path, status in known.items()}
        sources: list[Line | None] = [
            stamps[several[0]]
            | ({"truth": [stamps[path] for path in several[1:]]} if several[1:] else {})
            if several
            else None
            for several in files
        ]
        run = cls(dataset, names, files, sources, known, links)
        if shard is not None:
            others = (i for i, name in enumerate(names) if not shard.holds(name))
            run.elsewhere = frozenset(others)
        return run

    def __len__(self) -> int:
        return len(self.names) - len(self.absent)

    @property
    def skipped(self) -> set[str]:
        """The names of those that the run does not do."""
        return {self.names[i] for i in self.absent}

    @property
    def absent(self) -> Set[int]:
        """The places of those that the run does not do."""
        return self.elsewhere | self.left_out if self.left_out else self.elsewhere

    def source(self, name: str, image: Image | None, truth: Truth | None) -> Line:
        """What a line of results.jsonl keeps of where its image came from."""
        known = self.stamp(name)
        if known is None:
            known = self._hashes.get(name) or digest(image, truth)
            self._hashes[name] = known
        return known

    def stamp(self, name: str) -> Line | None:
        """What is known of an image's files from the start; None for one that comes from none."""
        return self.sources[self._places[name]]

    # ---- going on ------------------------------------------------------------------------------

    def rename(self, before: Iterable[Mapping[str, Line]]) -> None:
        """Give the images the names that they had: image name to line, for each recipe's folder."""
        named: dict[str, str] = {}
        lines: dict[str, Line] = {}
        for recipe_lines in before:
            paths = {name: _path(line) for name, line in recipe_lines.items()}
            times = Counter(paths.values())
            for name, path in paths.items():
                lines.setdefault(name, recipe_lines[name])
                if path is not None and times[path] == 1:
                    named.setdefault(path, name)
        now = [source["path"] if source else None for source in self.sources]
        absent = self.absent
        mine = [i not in absent for i in range(len(now))]
        times = Counter(path for path, own in zip(now, mine, strict=True) if own)
        names: list[str | None] = [
            named.get(path) if own and path is not None and times[path] == 1 else None
            for path, own in zip(now, mine, strict=True)
        ]
        taken = {name for name in names if name is not None}
        for i, name in enumerate(self.names):
            if mine[i] and names[i] is None and name in lines and name not in taken:
                path = _path(lines[name])
                if path is None or times[path] != 1:  # no other image of today has had that name
                    names[i] = name
                    taken.add(name)
        new = [i for i, name in enumerate(names) if name is None]
        new.sort(key=lambda i: not mine[i])  # last: they shall take no name from others
        fresh = distinct([*taken, *(self.names[i] for i in new)])[len(taken) :]
        for i, name in zip(new, fresh, strict=True):
            names[i] = name
        self.names = [name for name in names if name is not None]
        self.__dict__.pop("_places", None)  # it was that of the names before

    def finished(
        self,
        lines: Mapping[str, Line],
        written: float,
        read: Read,
        needs: str | None = None,
        damaged: Callable[[Line], bool] = lambda line: False,
    ) -> tuple[dict[str, Line], set[str]]:
        """The lines of images that need not be done again, and the files that other lines leave.

        `written`: when these lines were last written, in seconds. `read` is asked for images that
        have to be compared by their pixels. A line without the key `needs` is not finished, and
        neither is one whose files are `damaged`.
        """
        kept: dict[str, Line] = {}
        left: set[str] = set()
        absent = self.absent
        for name, line in lines.items():
            place = self._places.get(name)
            if place is None or place in absent:
                verdict = "gone"
            elif line.get("status") != "ok" or not {*KEYS, *[needs] * bool(needs)} <= line.keys():
                continue
            else:
                verdict, source = self._compared(line, place, written, read)
                if verdict in ("same", "unproved") and damaged(line):
                    verdict = "damaged"
                elif verdict in ("same", "unproved"):
                    kept[name] = line | {"source": source}
            if verdict not in ("same", "unproved", "damaged"):
                left.add(name)
            self._told.setdefault(verdict, {})[name] = None
        stay = {f for name, line in lines.items() if name not in left for f in files_named(line)}
        return kept, {f for name in left for f in files_named(lines[name])} - stay

    def told(self, aside: Iterable[Path | None]) -> list[str]:
        """What a user should know of a run that goes on; `aside`: where files were moved to."""
        places = sorted({str(path) for path in aside if path is not None})
        sentences = []
        for verdict, text in _SENTENCES.items():
            names = [*self._told.get(verdict, ())]
            if names:
                many = len(names) > 1
                shown = ", ".join(names[:SHOWN]) + ", …" * (len(names) > SHOWN)
                count = f"{len(names)} image{'s' * many} ({shown})"
                sentences.append(f"{count} {text[many]}")
        if places:
            more = f" and {len(places) - 1} more such folders" * (len(places) > 1)
            sentences.append(
                f"what was made of images that are gone or have changed is in {places[0]}{more}"
            )
        return sentences

    def _compared(
        self, line: Line, place: int, written: float, read: Read
    ) -> tuple[str, Line | None]:
        """What is to be said of a finished line, and the source of its image as it is today."""
        before, now = line.get("source"), self.sources[place]
        if not isinstance(before, dict):  # of segkit 0.1.0
            if now is not None and self._stems[_stem(now)] > 1:
                return "unclear", now
            if now is not None and (now["modified"] is None or now["modified"] > written):
                return "changed", now
            return "unproved", now or self.source(self.names[place], *read(place))
        if "sha256" in before:
            hashes = digest(*read(place))
            return "same" if hashes == before else "changed", now or hashes
        return "same" if now is not None and _alike(before, now) else "changed", now

    @cached_property
    def _stems(self) -> Counter[str]:
        """How many images have each stem."""
        absent = self.absent
        there = [s for i, s in enumerate(self.sources) if i not in absent]
        return Counter(_stem(source) for source in there if source is not None)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}


Read = Callable[[int], tuple[Image | None, Truth | None]]
"""Reads the image at a place, and its truth; None where it cannot be read."""

_SENTENCES = {
    "damaged": (
        "is done again, for a file that was written of it is missing or cannot be read",
        "are done again, for files that were written of them are missing or cannot be read",
    ),
    "changed": ("has changed and is done again", "have changed and are done again"),
    "unclear": (
        "is done again, for results of segkit 0.1.0 do not say of which file of that name it is",
        "are done again, for results of segkit 0.1.0 do not say of which file of a name each is",
    ),
    "unproved": (
        "was done by segkit 0.1.0, which did not note its file; it is taken to be the same",
        "were done by segkit 0.1.0, which did not note their files; they are taken to be the same",
    ),
    "gone": ("is gone and leaves the results", "are gone and leave the results"),
}
"""Verdict to what is said of one image, and of several."""


def _path(line: Line) -> str | None:
    source = line.get("source")
    return source.get("path") if isinstance(source, dict) else None


def _stem(source: Line) -> str:
    return folded(Path(source["path"]).stem)


def _alike(before: Line, now: Line) -> bool:
    """Whether an image's files have the sizes and times that they had, wherever they lie."""
    pairs = zip_longest([before, *before.get("truth", ())], [now, *now.get("truth", ())])
    return all(
        earlier is not None
        and later is not None
        and earlier.get("size") == later.get("size")
        and _at_once(earlier.get("modified"), later.get("modified"))
        for earlier, later in pairs
    )


def _at_once(before: float | None, now: float | None) -> bool:
    """Whether two times are one: some disks and archives keep whole seconds, or every other one."""
    if before is None or now is None or before == now:
        return before == now
    return abs(before - now) < 2 and (before % 1 == 0 or now % 1 == 0)


def _status(path: Path, links: set[Path]) -> os.stat_result | None:
    try:
        status = path.lstat()
        if not stat.S_ISLNK(status.st_mode):
            return status
        links.add(path)
        return path.stat()
    except OSError:  # said when its turn comes
        return None


def _stamp(path: Path, status: os.stat_result | None) -> Line:
    return {
        "path": os.path.abspath(path),  # noqa: PTH100 - keeps symbolic links
        "size": None if status is None else status.st_size,
        "modified": None if status is None else status.st_mtime,
    }


def digest(image: Image | None, truth: Truth | None) -> Line:
    """Hashes of an image's pixels and of its truth; None for an image that could not be read."""
    if image is None:
        return {"sha256": None}
    hashes: Line = {"sha256": _sha256(image.pixels)}
    if truth is not None:
        arrays = [truth.labels.ids] + ([] if truth.instances is None else [truth.instances])
        hashes["truth"] = _sha256(*arrays)
    return hashes


def _sha256(*arrays: NDArray[Any]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def reader_of(dataset: Dataset) -> Read:
    """Reads the image at a place, and its truth, without a word of what cannot be read."""

    def read(index: int) -> tuple[Image | None, Truth | None]:
        task = read_task(dataset, index, "")
        return (None, None) if isinstance(task, Failure) else (task.image, task.truth)

    return read
