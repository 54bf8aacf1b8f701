"""The images of a run: their names, their files, and which of them a resumed run does again.

An image is known by its file. Where a run goes on, the image of each file keeps the name that it
had, whatever files came beside it; a file of another size or time of change is done again, and what
is there no more leaves the results. What comes from no file is known by its pixels.
"""

from __future__ import annotations

import hashlib
import os
import stat
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from functools import cached_property, lru_cache
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
from segkit.running.reading import read_task
from segkit.running.records import ResultLine
from segkit.running.result_lines import ResultLines
from segkit.running.shards import Shard
from segkit.values.image_names import distinct, folded
from segkit.values.types import Image, Truth

KEYS = ("counts", "seconds")
"""What a line of a finished image has; one without is none of ours."""

SHOWN = 3
"""So many names stand in a sentence."""

SHARED = 1024
"""So many of the last files, or images, are known whole."""

MISSING = -1


class RunImages:
    """The images of a data set, as one run has them.

    Of their files sizes and times are kept, as numbers; paths the data set tells again.
    """

    def __init__(self, dataset: Dataset, shard: Shard | None = None) -> None:
        """All images of a data set under its own names; files are looked up, not read.

        Where a run does a `shard` alone, the others are known, but not its own.

        That is before the first is read, so whatever changes from then on is found later.
        """
        self.dataset = dataset
        self.names = names_of(dataset)
        """Each image's name in this run."""
        self._starts = array("q", [0])
        """Where the files of each image begin among all, and where the last one's end."""
        self._sizes = array("q")
        """Bytes of each file; `MISSING` where there is none."""
        self._modified = array("d")
        """When each was changed, in seconds."""
        self._links = bytearray()
        """Whether each is a symbolic link."""
        self.linked = False
        """Whether any file has several names on its disk (hard links)."""
        self._look_up()
        self.left_out: set[int] = set()
        """Those that are files of the very run, such as a pattern finds."""
        others = (i for i, n in enumerate(self.names) if shard is not None and not shard.holds(n))
        self.elsewhere = frozenset(others)
        """Those of other shards."""
        self._told: dict[str, dict[str, None]] = {}
        """Verdict to the names of its images; a key of `_SENTENCES`."""
        self._hashes: dict[str, Line] = {}
        """Those of the last images that come from no file, for their other recipes."""

    def _look_up(self) -> None:
        status = lru_cache(SHARED)(_status)  # many images may have one file of annotations
        for place in range(len(self.names)):
            for path in files_of(self.dataset, place):
                size, modified, is_link, names = status(os.fspath(path))
                self._sizes.append(size)
                self._modified.append(modified)
                self._links.append(is_link)
                self.linked |= names > 1
            self._starts.append(len(self._sizes))

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

    def own_name(self, name: str) -> str:
        """The same name as it stands among all, so that whoever keeps it needs no memory for it."""
        return self.names[self.place(name)]

    def place(self, name: str) -> int:
        """Where the image of this name stands among all."""
        return self._places[name]

    def files(self, place: int) -> Iterator[tuple[Path, bool]]:
        """The files that the image at a place comes from, each with whether it is a link.

        Its own comes first, then those of its truth.
        """
        several = range(self._starts[place], self._starts[place + 1])
        paths = files_of(self.dataset, place) if several else ()
        for path, index in zip(paths, several, strict=False):
            yield path, bool(self._links[index])

    def source(self, name: str, image: Image | None, truth: Truth | None) -> Line:
        """What a line of results.jsonl keeps of where its image came from."""
        known = self.stamp(name)
        if known is None:
            known = self._hashes.get(name) or digest(image, truth)
            self._hashes[name] = known
            if len(self._hashes) > SHARED:
                del self._hashes[next(iter(self._hashes))]
        return known

    def has_files(self, name: str) -> bool:
        """Whether an image comes from files."""
        place = self._places[name]
        return self._starts[place] < self._starts[place + 1]

    def stamp(self, name: str) -> Line | None:
        """What is known of an image's files from the start; None for one that comes from none."""
        return self.stamp_at(self._places[name])

    def stamp_at(self, place: int) -> Line | None:
        """The same of the image at a place."""
        stamps = [
            {
                "path": os.path.abspath(path),  # noqa: PTH100 - keeps symbolic links
                "size": None if self._sizes[index] == MISSING else self._sizes[index],
                "modified": None if self._sizes[index] == MISSING else self._modified[index],
            }
            for index, (path, _) in enumerate(self.files(place), self._starts[place])
        ]
        if not stamps:
            return None
        return stamps[0] | ({"truth": stamps[1:]} if stamps[1:] else {})

    # ---- going on ------------------------------------------------------------------------------

    def rename(self, before: Iterable[Mapping[str, ResultLine]]) -> None:
        """Give the images the names that they had: image name to line, for each recipe's folder."""
        several = [*before]
        if self._are_named(several):
            return
        named: dict[str, str] = {}
        known: dict[str, str | None] = {}
        for recipe_lines in several:
            paths = {name: _path(line) for name, line in recipe_lines.items()}
            times = Counter(paths.values())
            for name, path in paths.items():
                known.setdefault(name, path)
                if path is not None and times[path] == 1:
                    named.setdefault(path, name)
        now = [self._path_at(place) for place in range(len(self.names))]
        absent = self.absent
        mine = [i not in absent for i in range(len(now))]
        times = Counter(path for path, own in zip(now, mine, strict=True) if own)
        names: list[str | None] = [
            named.get(path) if own and path is not None and times[path] == 1 else None
            for path, own in zip(now, mine, strict=True)
        ]
        taken = {name for name in names if name is not None}
        for i, name in enumerate(self.names):
            if mine[i] and names[i] is None and name in known and name not in taken:
                path = known[name]
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

    def _are_named(self, before: Sequence[Mapping[str, ResultLine]]) -> bool:
        """Whether all have the names that they had, as a rule: then none needs to be looked for."""
        absent = self.absent
        known = bytearray(len(self.names))
        for lines in before:
            for name, line in lines.items():
                place = self._places.get(name)
                if place is None or place in absent or _path(line) != self._path_at(place):
                    return False
                known[place] = 1
        return all(known) or len({*map(folded, self.names)}) == len(self.names)

    def _path_at(self, place: int) -> str | None:
        path = next(self.files(place), None)
        return None if path is None else os.path.abspath(path[0])  # noqa: PTH100

    def finished(
        self,
        lines: ResultLines,
        left: set[str],
        written: float,
        read: Read,
        needs: str | None = None,
        damaged: Callable[[Line], bool] = lambda line: False,
    ) -> Iterator[Line]:
        """The lines of images that need not be done again.

        When they are all told, `left` has the files of images that are gone or have changed, as far
        as no other line names them, and the file of lines may be replaced.

        `written`: when these lines were last written, in seconds. `read` is asked for images that
        have to be compared by their pixels. A line without the key `needs` is not finished, and
        neither is one whose files are `damaged`.
        """
        absent = self.absent
        gone: set[str] = set()
        for name, result in lines.items():
            line = result.to_dict()
            place = self._places.get(name)
            if place is None or place in absent:
                verdict, source = "gone", None
            elif line.get("status") != "ok" or not {*KEYS, *[needs] * bool(needs)} <= line.keys():
                continue
            else:
                verdict, source = self._compared(line, place, written, read)
            same = verdict in ("same", "unproved")
            if same and damaged(line):
                verdict = "damaged"
            elif same:
                yield line | {"name": self.own_name(name), "source": source}
            else:
                gone.add(name)
            if verdict in _SENTENCES:
                self._told.setdefault(verdict, {})[name] = None
        left |= _files_left(lines, gone)
        lines.close()

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
        before, now = line.get("source"), self.stamp_at(place)
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
        there = (self.stamp_at(i) for i in range(len(self.names)) if i not in absent)
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


def _files_left(lines: ResultLines, gone: Collection[str]) -> set[str]:
    """The files of the lines of these images, as far as none of the others names them."""
    files = {f for name in gone for f in files_named(lines[name].to_dict())}
    if files:
        others = (line for name, line in lines.items() if name not in gone)
        files.difference_update(f for line in others for f in files_named(line.to_dict()))
    return files


def _path(line: ResultLine) -> str | None:
    return (line.source or {}).get("path")


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


def _status(path: str) -> tuple[int, float, bool, int]:
    """A file's size, time of change, whether it is a link, and how many names it has."""
    is_link = False
    try:
        status = os.lstat(path)
        if is_link := stat.S_ISLNK(status.st_mode):
            status = os.stat(path)  # noqa: PTH116 - there are many
    except OSError:  # said when its turn comes
        return MISSING, 0.0, is_link, 0
    return status.st_size, status.st_mtime, is_link, status.st_nlink


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
    for values in arrays:
        digest.update(repr(values.shape).encode())
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def reader_of(dataset: Dataset) -> Read:
    """Reads the image at a place, and its truth, without a word of what cannot be read."""

    def read(index: int) -> tuple[Image | None, Truth | None]:
        task = read_task(dataset, index, "")
        return (None, None) if isinstance(task, Failure) else (task.image, task.truth)

    return read
