"""Finished lines reach the disk: first their files, then they, some of them at once.

A thread of its own does so, for a disk takes long to say that it has written, and many files take
little longer than one. What finishes while it waits is its next lot. A line is written as soon as
its files are safe, so a run that is cut off has at most one lot to do again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from segkit.running.folder import Record
from segkit.running.owned import Line, files_named
from segkit.values.files import sync_files

WAITING = 8192
"""So many lines may wait for the disk; whoever brings more of them waits too."""

PAUSE = 0.2
"""Seconds that it gathers lines, unless it is to end."""


class Keeper:
    """Keeps the lines of one session. `records`: recipe to its folder."""

    def __init__(self, records: Mapping[str, Record]) -> None:
        self.records = records
        self._waiting: deque[tuple[str, Line]] = deque()
        self._room = threading.Semaphore(WAITING)
        self._known: set[Path] = set()
        """Folders that have reached the disk, and their own folders."""
        self._ending = threading.Event()
        self._changed = threading.Event()
        self._fault: Exception | None = None
        self._thread: threading.Thread | None = None

    def add(self, recipe: str, line: Line) -> None:
        """Take a line whose files are written.

        Raises `SegkitError` where the disk has refused an earlier one.
        """
        self._room.acquire()
        if self._fault is not None:
            self._room.release()  # for the next one, who is to hear of it too
            raise self._fault
        self._waiting.append((recipe, line))
        self._changed.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="segkit-keeper")
            self._thread.start()

    def close(self) -> None:
        """Return when all lines are kept. Raises `SegkitError` where the disk has refused one."""
        self._ending.set()
        self._changed.set()
        if self._thread is not None:
            self._thread.join()
        if self._fault is not None:
            raise self._fault

    def _work(self) -> None:
        while self._fault is None and (self._waiting or not self._ending.is_set()):
            self._changed.wait()
            self._ending.wait(PAUSE)
            self._changed.clear()
            lot = [self._waiting.popleft() for _ in range(len(self._waiting))]
            try:
                self._keep(lot)
            except Exception as error:  # told by the thread that adds and closes
                self._fault = error
            if lot:
                self._room.release(len(lot))

    def _keep(self, lot: list[tuple[str, Line]]) -> None:
        several: dict[str, list[Line]] = {}
        for recipe, line in lot:
            several.setdefault(recipe, []).append(line)
        keep([(self.records[recipe], lines) for recipe, lines in several.items()], self._known)


def keep(several: Sequence[tuple[Record, Sequence[Line]]], known: set[Path]) -> None:
    """Bring files to the disk, then their folders, then the lines that name them.

    `several`: lines with the folder that they are for; `known`: the folders above the files that
    have reached the disk, to which those of these files are added.

    Raises `SegkitError` where the disk refuses.
    """
    record = several[0][0]
    try:
        files: set[Path] = set()
        for record, lines in several:
            files |= {record.directory / name for line in lines for name in files_named(line)}
        folders = {path.parent for path in files}
        above = {p for record, _ in several for p in _above(record.directory, folders)} - known
        sync_files({*files, *(record.notes for record, _ in several)}, folders | above)
        known |= above
        for record, lines in several:
            record.append(lines)
        sync_files(record.results for record, _ in several)
    except OSError as error:
        raise record.unwritable(error, record.kept) from error


def _above(directory: Path, folders: set[Path]) -> set[Path]:
    """The folders from those of the files up to a run's own and the one that holds it."""
    between = {p for folder in folders for p in folder.parents if directory in p.parents}
    return {directory, directory.parent} | between


def closed(keeper: Keeper) -> None:
    """Keep what can be kept while something else goes wrong, which is then told."""
    with suppress(Exception):
        keeper.close()
