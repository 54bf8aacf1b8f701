"""Runs of shards made into one: the folder that a single run over all images would have left.

The shards' folders are only read.
"""

from __future__ import annotations

import shutil
from collections import ChainMap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from filecmp import cmp
from functools import cached_property
from pathlib import Path

from segkit.errors import SegkitError, UsageError
from segkit.plugins.catalog import Catalog
from segkit.plugins.contract import names_of
from segkit.running.damaged import is_damaged
from segkit.running.folder import FULL, Record
from segkit.running.keeping import keep
from segkit.running.lines import Line, Summary, Totals, end
from segkit.running.owned import files_named, is_own
from segkit.running.plan import Plan
from segkit.running.shard_runs import Source, check_alike
from segkit.values.spreading import levels_in

LOT = 256
"""So many images' files are brought to the disk at once."""

SHOWN = 3
"""So many names stand in a sentence."""


@dataclass
class Merged:
    """What came of runs that were made one."""

    summaries: dict[str, Summary] = field(default_factory=dict)
    """Recipe to what its summary.json holds; that of a single recipe is called `run`."""
    shards: tuple[str, ...] = ()
    """The shards that are missing, such as `3/8`, or have not finished."""
    missing: tuple[str, ...] = ()
    """The images of the data set that have no line, as far as the data set can be listed."""
    doubled: tuple[str, ...] = ()
    """The images that are in several of the folders; the first that finished one stays."""
    damaged: tuple[str, ...] = ()
    """The images that have lost files, and are left out for it."""
    notes: tuple[str, ...] = ()
    """All this, and what else there is to tell, in sentences."""

    @property
    def whole(self) -> bool:
        """Whether no image is known to be missing."""
        return not (self.shards or self.missing or self.damaged)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the line of an image stands."""

    source: int
    offset: int
    ok: bool


# ---- merging -----------------------------------------------------------------------------------


class Merge:
    """Runs of one recipe on their way to be one."""

    def __init__(self, sources: Sequence[Source], catalog: Catalog) -> None:
        """Raises `UsageError` for runs that are not of one recipe."""
        self.sources = sources
        self.catalog = catalog
        check_alike(sources)
        finished = [source for source in sources if source.summary is not None]
        if not finished:
            raise UsageError(
                f"none of the runs has finished, such as '{sources[0].directory}'; go on with "
                "them by segkit run --resume"
            )
        said = finished[0].summary
        assert said is not None
        record = {k: v for k, v in sources[0].record.items() if k not in ("shard", "ledger")}
        self.content = {**sources[0].content, "record": record}
        self.plan: Plan = sources[0].recipe.build(catalog)
        self.totals = Totals(self.plan, self.content, dict(said.classes))
        self.totals.sought = tuple(said.vocabulary)
        # A shard without truth says nothing of how figures are counted; those that do agree.
        own = [source.summary.protocol for source in finished if source.summary is not None]
        self.totals.before = dict(ChainMap(*own))
        self.places: dict[str, tuple[_Place, ...]] = {}
        """Where the lines of each image stand: those that finished it, or else the first."""
        self.doubled: dict[str, None] = {}
        self.damaged: dict[str, None] = {}
        self.shared: dict[str, Path] = {}
        """Files that belong to no image alone, and whose they are: the first's."""

    def into(self, directory: Path) -> Summary:
        """Make the folder of the one run. Raises `SegkitError`."""
        self._find()
        record = _MergedRecord(directory, self.content, levels_in(self.sources[0].directory))
        try:
            record.start()
            self._share(record)
            lot: list[Line] = []
            known: set[Path] = set()
            for name in self._ordered():
                source, line = self._whole(name)
                if line is None:
                    self.damaged[name] = None
                    continue
                record.begin(name)
                self._copy(source.directory, directory, files_named(line))
                lot.append(line)
                self.totals.add(line)
                if len(lot) == LOT:
                    keep([(record, lot)], known)
                    lot.clear()
            keep([(record, lot)], known)
        except OSError as error:
            raise merge_error(error) from error
        return end({"run": record}, {"run": self.totals}, {})["run"]

    def _find(self) -> None:
        """Where the lines of each image are."""
        for number, source in enumerate(self.sources):
            own: dict[str, _Place] = {}  # of two lines of one run the later one holds
            for offset, line in source.lines():
                own[line.name] = _Place(number, offset, line.ok)
            for name, place in own.items():
                before = self.places.get(name, ())
                if before:
                    self.doubled[name] = None
                if not before or place.ok:
                    self.places[name] = (*(p for p in before if p.ok), place)

    def _whole(self, name: str) -> tuple[Source, Line | None]:
        """The line of an image with its run: the first whose files are whole; None: there is none.

        Files outside of a run's folder, to which links lead, are none of its own.
        """
        for place in self.places[name]:
            source = self.sources[place.source]
            line = self._without_exports(source.line(name, place.offset))
            if not place.ok or (
                all(is_own(source.directory, file) for file in files_named(line))
                and not is_damaged(source.directory, line, self.plan.writers)
            ):
                return source, line
        return source, None

    @cached_property
    def listed(self) -> list[str] | None:
        """The names of the data set's images; None where it cannot be listed here."""
        try:
            return names_of(self.plan.dataset)
        except SegkitError:
            return None

    def _ordered(self) -> list[str]:
        """The images in the data set's order, then by name."""
        order = {name: index for index, name in enumerate(self.listed or ())}
        return sorted(self.places, key=lambda name: (order.get(name, len(order)), name))

    def _without_exports(self, line: Line) -> Line:
        """The line with the files of the run's own writers, which stand first."""
        written = line.get("written")
        if not isinstance(written, dict):
            return line
        files = line["files"][: sum(written.values())]
        return {**line, "files": files}

    def _share(self, record: Record) -> None:
        """Copy what the shards' images have in common; the writers' `finish` makes it anew."""
        own = {"", *(writer.name for writer in self.plan.writers)}
        self.shared = {
            name: source.directory
            for source in reversed(self.sources)
            for name in source.shared
            if name.rpartition("/")[0].partition("/")[0] in own and is_own(source.directory, name)
        }
        record.note(self.shared)
        for name, folder in self.shared.items():
            self._copy(folder, record.directory, [name])

    def _copy(self, source: Path, target: Path, names: Sequence[str]) -> None:
        for name in names:
            place = target / name
            if place.exists():  # images of several shards name it
                self.shared.setdefault(name, source)
            elif is_own(source, name):
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source / name, place)

    # ---- what is to be told --------------------------------------------------------------------

    @property
    def missing_shards(self) -> tuple[str, ...]:
        """Those of the division that nobody gave, and those that have not finished."""
        shards = [source.shard for source in self.sources if source.summary is not None]
        whole = {(shard.number, shard.count) for shard in shards if shard is not None}
        division = self.sources[0].shard
        if division is None:
            return tuple(str(s.directory) for s in self.sources if s.summary is None)
        count = division.count
        return tuple(f"{i}/{count}" for i in range(1, count + 1) if (i, count) not in whole)

    @property
    def missing(self) -> tuple[str, ...]:
        """The images of the data set that nobody has done."""
        return tuple(name for name in self.listed or () if name not in self.places)

    def notes(self, directory: Path) -> list[str]:
        """What there is to tell, in sentences; `directory`: where the one run is."""
        told = []
        for source in self.sources:
            if source.summary is None:
                shard = f" (shard {source.shard})" * (source.shard is not None)
                told.append(
                    f"the run in '{source.directory}'{shard} has not finished; the images that it "
                    "has finished are merged"
                )
        given = {str(source.shard or source.directory) for source in self.sources}
        if shards := tuple(shard for shard in self.missing_shards if shard not in given):
            told.append(
                f"not whole: {_counted(shards, 'shard')} missing; {_later(directory, shards)}"
            )
        if missing := self.missing:
            told.append(
                f"not whole: {_counted(missing, 'image')} missing; {_later(directory, missing)}"
            )
        if self.listed is None:
            told.append(
                f"the data set {self.plan.dataset.name} cannot be listed here, so nobody can tell "
                "whether an image is missing"
            )
        if damaged := tuple(self.damaged):
            theirs = "its" if len(damaged) == 1 else "their"
            told.append(
                f"{_counted(damaged, 'image')} left out, for {theirs} files are lost, damaged or "
                f"lie outside of the run's folder; {_later(directory, damaged)}"
            )
        if doubled := tuple(self.doubled):
            told.append(f"{_counted(doubled, 'image')} in several of the folders; the first stays")
        for name in sorted(self._differing(directory)):
            told.append(
                f"{name} differs between the runs, and its writer has left it at the first's"
            )
        return told

    def _differing(self, directory: Path) -> Iterator[str]:
        """The files of all images that `finish` has not made anew, and that are not alike."""
        for name, folder in self.shared.items():
            now, before = (directory / name).stat(), (folder / name).stat()
            if (now.st_size, now.st_mtime_ns) == (before.st_size, before.st_mtime_ns):
                others = (s.directory for s in self.sources if is_own(s.directory, name))
                if not all(cmp(place / name, directory / name, False) for place in others):
                    yield name


class _MergedRecord(Record):
    """The folder of the one run, of which nothing stays where the disk refuses."""

    def unwritable(self, error: OSError, finished: int) -> SegkitError:
        """See `merge_error`."""
        return merge_error(error)


def merge_error(error: OSError) -> SegkitError:
    """What to tell when a file cannot be read or written while runs are made one."""
    full = error.errno in FULL
    reason = "the disk is full" if full else error.strerror or str(error)
    where = f" ('{error.filename}')" if error.filename is not None else ""
    return SegkitError(
        f"the runs could not be merged: {reason}{where}; nothing is left of it: "
        f"{'make room' if full else 'mend that'} and merge again"
    )


def _later(directory: Path, names: Sequence[str]) -> str:
    """How what is missing is done."""
    what = "it" if len(names) == 1 else "them"
    return f"go on with {directory} by segkit run --resume, which does {what}"


def _counted(names: Sequence[str], what: str) -> str:
    """`3 images (a, b, c) are`."""
    many = len(names) != 1
    shown = ", ".join(names[:SHOWN]) + ", …" * (len(names) > SHOWN)
    return f"{len(names)} {what}{'s' * many} ({shown}) {'are' if many else 'is'}"
