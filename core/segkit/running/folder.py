"""A run's folder: what is written, when, and how a run goes on after it was cut off.

recipe.toml     the whole plan, written first
results.jsonl   one line for each finished image, appended as it finishes
summary.json    written last
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segkit.errors import SegkitError, UsageError
from segkit.running.recipe import Recipe, recorded_weights, to_toml
from segkit.running.records import ResultLine, RunSummary, read_results

OURS = (
    *("recipe.toml", "results.jsonl", "summary.json", "report.html", "leaderboard.json"),
    *("leaderboard.csv", "diagnosis.json"),
    *("robustness.toml", "robustness.json", "robustness.csv", "examples"),
    *("recipes", "masks", "overlay", "coco", "labelme", "supervision", "voc", "yolo"),
)
"""What `--overwrite` removes; other files in the folder stay."""

MARKS = {"recipe.toml", "results.jsonl", "summary.json", "leaderboard.json", "robustness.toml"}
"""One of these tells a run's folder from any other."""


def check(directory: Path, *, resume: bool = False, overwrite: bool = False) -> bool:
    """Whether there is a run to go on with or to replace; nothing is changed.

    Raises `UsageError` if the folder is not empty and neither is asked for, or holds no run.
    """
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"-o {directory} is a file; choose a folder")
    try:
        content = {path.name for path in directory.iterdir()} if directory.exists() else set()
    except OSError as error:
        raise UsageError(
            f"-o {directory} cannot be read: {error.strerror}; choose another folder"
        ) from None
    if not content:
        return False
    if not (resume or overwrite):
        raise UsageError(
            f"-o {directory} is not empty; add --resume to go on with it, --overwrite to "
            "start again, or choose another folder"
        )
    if not content & MARKS and not any(directory.glob("recipes/*/recipe.toml")):
        asked = "--resume" if resume else "--overwrite"
        raise UsageError(
            f"{asked}: {directory} holds files, but no run of segkit; choose another folder"
        )
    return True


def prepare(directory: Path, *, resume: bool = False, overwrite: bool = False) -> bool:
    """Make a run's folder, or empty it if `overwrite` says so; whether there is one to go on with.

    Raises `UsageError` as `check` does, and if the folder cannot be made or emptied.
    """
    there = check(directory, resume=resume, overwrite=overwrite)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name in OURS if there and overwrite else ():
            path = directory / name
            whole = path.is_dir() and not path.is_symlink()
            shutil.rmtree(path) if whole else path.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(
            f"-o {directory} cannot be made: {error.strerror}; choose another folder"
        ) from None
    return there and resume and not overwrite


class Record:
    """One recipe's folder while it is being run."""

    def __init__(self, directory: Path, recipe: Mapping[str, Any]) -> None:
        self.directory = directory
        self.results = directory / "results.jsonl"
        self.finished: dict[str, ResultLine] = {}
        """Image name to its line, for the images that need no second run."""
        self._recipe = dict(recipe)

    def start(
        self, *, resume: bool = False, overwrite: bool = False, needs: str | None = None
    ) -> None:
        """Make or check the folder. Lines without the key `needs` count as unfinished.

        Raises `UsageError` if it is not empty and neither `resume` nor `overwrite` is asked for,
        or if what is to be resumed was another recipe.
        """
        if prepare(self.directory, resume=resume, overwrite=overwrite):
            self._check_same_recipe()
            self._keep_finished(needs)
        text = to_toml(self._recipe).encode("utf-8", "replace").decode()
        write_text(self.directory / "recipe.toml", text)

    def append(self, line: Mapping[str, Any]) -> ResultLine:
        """Add one image's line; on a full disk the file ends with the last whole line."""
        added = ResultLine.model_validate(line)
        text = added.text()
        before = self.results.stat().st_size if self.results.exists() else 0
        try:
            with self.results.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError:
            with contextlib.suppress(OSError):
                os.truncate(self.results, before)
            raise
        return added

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write summary.json."""
        write_text(self.directory / "summary.json", RunSummary.model_validate(summary).text())

    def _check_same_recipe(self) -> None:
        path = self.directory / "recipe.toml"
        if not path.exists():
            raise UsageError(
                f"--resume: {self.directory} holds no recipe.toml, so it is no run of segkit; "
                "choose another folder"
            )
        before = comparable(Recipe.load(path))
        now = comparable(Recipe.from_dict(self._recipe))
        weights = self._recipe.get("record", {}).get("weights", {})
        for file, digest in recorded_weights(path).items():
            if weights.get(file, digest) != digest:
                raise UsageError(
                    f"--resume: the weights {file} have changed since {self.directory} was run; "
                    "give the same file, or choose another folder"
                )
        for key in sorted(before.keys() | now.keys()):
            if before.get(key) != now.get(key):
                raise UsageError(
                    f"--resume: {self.directory} was run with {key} = {before.get(key)!r}, now it "
                    f"is {now.get(key)!r}; ask for the same, or choose another folder"
                )

    def _keep_finished(self, needs: str | None) -> None:
        """Read the finished images, and leave only them in the file.

        A line that a crash cut off, and images that failed, are dropped: they are run again.
        """
        lines = read_lines(self.results)
        self.finished = {
            name: line
            for name, line in lines.items()
            if line.ok and (needs is None or line.has(needs))
        }
        if not self.results.exists():
            return
        write_text(self.results, "".join(line.text() for line in self.finished.values()))


def read_lines(path: Path) -> dict[str, ResultLine]:
    """Image name to its line of results.jsonl; none where there is no such file."""
    return read_results(path).lines if path.exists() else {}


def comparable(recipe: Recipe) -> dict[str, Any]:
    """A recipe flattened to `topk.k` → value, to find what differs."""
    flat: dict[str, Any] = {"seed": recipe.seed, "rounds": recipe.rounds}
    flat["classes"] = list(recipe.classes)
    for kind, parts in recipe.parts.items():
        flat[kind] = [f"+{p.name}" if p.merge else p.name for p in parts]
        for index, part in enumerate(parts):
            place = part.name if len(parts) == 1 else f"{part.name}[{index}]"
            flat |= {f"{place}.{option}": value for option, value in part.options.items()}
    return {key: _written(value) for key, value in flat.items()}


def _written(value: Any) -> Any:
    """A value as the file holds it, which has no bytes that are no text."""
    if isinstance(value, (list, tuple)):
        return [_written(one) for one in value]
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all: an old one stays until the new one is complete."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


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
