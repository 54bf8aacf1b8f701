"""What marks a folder as a run's, and which of the files in it the run has made.

`segkit-run.jsonl` is that mark: only a run makes it. Its first line has the key `segkit-run`; what
follows is appended as it happens: each image before its files are written, the files that belong to
no image alone, and the recipes that have folders of their own. What the files of each image are
stands in results.jsonl. Everything else in the folder is its user's.

Runs of segkit 0.1.0 have no such file. They are known by a recipe.toml with the table `[record]`
beside results.jsonl or summary.json.
"""

from __future__ import annotations

import io
import json
import os
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from segkit.values.files import json_lines
from segkit.values.reading import parsed_toml, read_text
from segkit.values.spreading import KEY as LEVELS
from segkit.values.spreading import LEDGER as LEDGER
from segkit.values.spreading import levels_said

LOCK = "segkit-run.lock"
"""Says who owns a folder at the moment; see `segkit.running.lock`."""

KEY = "segkit-run"

_OLDER_RUN = (
    *("recipe.toml", "results.jsonl", "summary.json", "report.html"),
    *("coco/annotations.json", "coco/classes.json", "supervision/classes.json"),
    *("voc/classes.json", "yolo/classes.json", "yolo/data.yaml"),
    *(
        f"voc/VOCdevkit/VOC2012/ImageSets/Segmentation/{s}.txt"
        for s in ("train", "val", "trainval")
    ),
)
"""What segkit 0.1.0 left in a recipe's folder, beside the files that results.jsonl names."""

_OLDER_SWEEP = (
    *("leaderboard.json", "leaderboard.csv", "diagnosis.json", "report.html"),
    *("robustness.toml", "robustness.json", "robustness.csv"),
)
"""What it left in a folder of several recipes' runs."""


class Ledger:
    """The notes of one folder: a recipe's, or that of several recipes' folders."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / LEDGER
        self.begun: set[str] = set()
        """The images whose files have been written, or were being written when the run ended."""
        self.files: set[str] = set()
        """Files that belong to no image alone; relative to the folder, with `/`."""
        self.recipes: set[str] = set()
        """The names of the recipes whose folders are the run's, in `recipes/`."""
        self._file: io.FileIO | None = None
        """Open for as long as there are notes to make: there is one for each image."""
        self.complete = True
        """Whether `begun` has all images: not where the run was begun by segkit 0.1.0."""
        self.levels = 0
        """How deep the subfolders are that its images' files lie in; see `values.spreading`."""

    @classmethod
    def read(cls, directory: Path) -> Ledger | None:
        """The notes in a folder, or None where it has none; a line that was cut off is left out."""
        ledger = cls(directory)
        lines = _objects(ledger.path)
        head = next(lines, None)
        if head is None or not isinstance(head.get(KEY), int):
            return None
        ledger.complete = not head.get("older")
        ledger.levels = levels_said(head)
        for line in lines:
            if isinstance(line.get("image"), str):
                ledger.begun.add(line["image"])
            ledger.files |= _texts(line.get("files"))
            ledger.recipes |= _texts(line.get("recipes"))
        return ledger

    @classmethod
    def open(cls, directory: Path, levels: int = 0) -> Ledger:
        """The notes in a folder; one without any gets them, with what segkit 0.1.0 left there.

        `levels`: how deep the subfolders of a run are that begins.
        """
        ledger = cls.read(directory)
        if ledger is not None:
            return ledger
        ledger, older = cls(directory), older_files(directory)
        head = {KEY: 1, "segkit": _version()}
        ledger.complete = not older
        ledger.levels = 0 if older else levels
        said = {LEVELS: ledger.levels} if ledger.levels else {}
        ledger._append(head | said | ({"older": True} if older else {}))
        ledger.note(older)
        ledger.note_recipes(older_recipes(directory))
        return ledger

    def begin(self, image: str) -> None:
        """Note an image whose files are about to be written."""
        if image not in self.begun:
            self.begun.add(image)
            self._append({"image": image})

    def note(self, files: Iterable[str]) -> None:
        """Note files that belong to no image alone."""
        new = sorted({*files} - self.files)
        if new:
            self.files.update(new)
            self._append({"files": new})

    def note_recipes(self, names: Iterable[str]) -> None:
        """Note recipes that have a folder of their own."""
        new = sorted({*names} - self.recipes)
        if new:
            self.recipes.update(new)
            self._append({"recipes": new})

    def close(self) -> None:
        """Let go of the file until there is something to note again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, line: Mapping[str, Any]) -> None:
        if self._file is None:
            self._file = file = self.path.open("a+b", buffering=0)
            weakref.finalize(self, file.close)
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")  # a crash has cut a line off
        self._file.write((json.dumps(line) + "\n").encode())  # ASCII, whatever a name holds


def is_empty(directory: Path) -> bool:
    """Whether a folder holds nothing but perhaps a lock. Raises `OSError`."""
    return all(path.name == LOCK for path in directory.iterdir())


def is_run(directory: Path) -> bool:
    """Whether a folder is a run's: one recipe's, or one of several recipes' folders."""
    if isinstance(next(_objects(directory / LEDGER), {}).get(KEY), int):
        return True
    return bool(older_files(directory) or older_recipes(directory))


def noted_files(directory: Path) -> set[str]:
    """The files that are noted in a folder, none where it has no notes."""
    ledger = Ledger.read(directory)
    return ledger.files if ledger is not None else set()


def note_files(directory: Path, *names: str) -> None:
    """Note files that are about to be written in a run's folder; other folders stay as they are."""
    ledger = Ledger.read(directory)
    if ledger is not None:
        ledger.note(names)


# ---- runs of segkit 0.1.0 ----------------------------------------------------------------------


def older_recipes(directory: Path) -> list[str]:
    """The recipes with a folder of their own, in a folder that segkit 0.1.0 has left."""
    return [p.parent.name for p in directory.glob("recipes/*/recipe.toml") if _is_older(p.parent)]


def older_files(directory: Path) -> set[str]:
    """What segkit 0.1.0 has left in a folder, beside what results.jsonl names; empty: no run."""
    run = _OLDER_RUN if _is_older(directory) else ()
    sweep = _OLDER_SWEEP if older_recipes(directory) else ()
    return {name for name in (*run, *sweep) if (directory / name).is_file()}


def _is_older(directory: Path) -> bool:
    """Whether segkit 0.1.0 has run a recipe in this folder.

    A copy of a recipe.toml among other files is none, and neither is a newer run without its mark.
    """
    record = record_of(directory)
    if record is None or LEDGER in record.values() or not isinstance(record.get("segkit"), str):
        return False
    try:
        with (directory / "results.jsonl").open(encoding="utf-8", errors="replace") as file:
            line = json.loads(file.readline())
        return isinstance(line, dict) and {"name", "status", "counts", "files"} <= line.keys()
    except (OSError, ValueError):
        pass
    try:
        summary = json.loads((directory / "summary.json").read_text(encoding="utf-8"))
        return isinstance(summary, dict) and {"images", "failed", "plan"} <= summary.keys()
    except (OSError, ValueError):
        there = {p.name for p in directory.iterdir()} - {LOCK}
        return there == {"recipe.toml"}  # it had just begun


def record_of(directory: Path) -> dict[str, Any] | None:
    """The table `[record]` of a folder's recipe.toml, or None."""
    try:
        recipe = parsed_toml(read_text(directory / "recipe.toml"))
    except (OSError, ValueError):
        return None
    record = recipe.get("record")
    return record if isinstance(record, dict) else None


def _texts(values: Any) -> set[str]:
    texts = {v for v in values if isinstance(v, str)} if isinstance(values, list) else set()
    return {text for text in texts if "\0" not in text}


def _version() -> str:
    try:
        return version("segkit")
    except PackageNotFoundError:
        return "not installed"


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a file of notes; none where it cannot be read."""
    with suppress(OSError):
        yield from json_lines(path)
