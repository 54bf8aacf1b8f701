"""What people decide about the masks of a finished run: review.jsonl, one decision a line.

Lines are only ever added, each in one write that has reached the disk before anything goes on. So
a process that is killed loses nothing, and several may decide about one run at the same time. Of
several decisions about a mask the last one counts.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, ValidationError

from segkit.errors import BadValueError, SegkitError, UsageError, did_you_mean
from segkit.running.records import Number, ResultLine, RewrittenModel
from segkit.values.files import json_lines
from segkit.values.images import read_mask

FILE = "review.jsonl"
"""The file's name, in the run's folder."""

MASKS = "review/masks"
"""The folder of corrected masks in it."""

Verdict = Literal["keep", "reject", "corrected", "undone"]

DECISIONS = tuple(word for word in get_args(Verdict) if word != "undone")
"""What can be decided about a mask."""


class PromptAsked(RewrittenModel):
    """What a person has asked the segmenter, beside what the run had asked."""

    points: list[list[Number]] = []
    """(x, y) in pixels of the image."""
    signs: list[bool] = []
    """Whether the point lies on the object, for each point."""
    box: list[Number] | None = None
    """Left, top, right, bottom in pixels, all inside."""


class Decision(RewrittenModel):
    """A line of review.jsonl."""

    model_config = ConfigDict(populate_by_name=True)

    image: str
    """The image's name."""
    mask: int | None = None
    """The mask's place in the image's line of results.jsonl; a greater number is that of an object
    which was added. None: the image as a whole, where the run found nothing or a class map."""
    decision: Verdict
    """`undone`: there is no decision any more."""
    name: str | None = Field(None, alias="class")
    """The object's class, which may be another one than the run's."""
    prompt: PromptAsked | None = None
    """What a corrected mask answers."""
    file: str | None = None
    """The corrected mask's file, relative to the run's folder: 0 and 255."""
    when: str = ""
    """The time, ISO 8601 with its zone."""
    pixels: int | None = None
    """How many the run's mask had. Where it has another number now, the run has been done again,
    and the decision was about another mask."""

    def text(self) -> str:
        """The line with its end."""
        return json.dumps(self.model_dump(by_alias=True, exclude_unset=True)) + "\n"


Key = tuple[str, "int | None"]
"""An image's name and a mask's place."""


class Journal:
    """review.jsonl of one folder, as far as it has been read."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE
        self.decisions: list[Decision] = []
        """All that have been read, in their order."""
        self._read = 0

    def check(self) -> None:
        """Raises `UsageError` where decisions could not be kept."""
        try:
            with self.path.open("ab"):
                pass
        except OSError as error:
            raise UsageError(
                f"decisions could not be kept, for '{self.path}' cannot be written "
                f"({error.strerror}); change its permissions, or review a copy of the folder"
            ) from None

    def news(self) -> list[Decision]:
        """What has been added since the last time, by whomever; a line that makes no sense is none.

        Raises `SegkitError` where the file cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self._read)
                whole, newline, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise SegkitError(f"'{self.path}' cannot be read: {error.strerror}") from None
        self._read += len(whole + newline)
        added = decisions_in(_objects(whole.decode("utf-8", "replace")))
        self.decisions += added
        return added

    def add(self, decisions: Iterable[Decision]) -> None:
        """Append decisions, all or none. When it returns, they have reached the disk.

        Raises `SegkitError` where they cannot be written.
        """
        content = "".join(decision.text() for decision in decisions).encode()
        try:
            with self.path.open("ab", buffering=0) as file:
                start = file.tell()
                if start and not _ends_a_line(self.path):  # somebody was cut off in the middle
                    content = b"\n" + content
                try:
                    if file.write(content) != len(content):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                    os.fsync(file.fileno())
                except OSError:
                    end = os.fstat(file.fileno()).st_size
                    if end <= start + len(content):  # nobody has added anything since
                        file.truncate(start)
                    raise
        except OSError as error:
            raise SegkitError(
                f"the decision was not kept, for '{self.path}' cannot be written "
                f"({error.strerror}); mend that and decide again"
            ) from None


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _objects(text: str) -> Iterable[Mapping[str, Any]]:
    for row in text.split("\n"):
        try:
            value = json.loads(row)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield value


def decisions_in(objects: Iterable[Mapping[str, Any]]) -> list[Decision]:
    """The decisions that objects are; what is none is left out."""
    found = []
    for value in objects:
        try:
            found.append(Decision.model_validate(value))
        except ValidationError:
            continue
    return found


def read_decisions(directory: Path) -> list[Decision]:
    """All decisions about a run, in their order; none where nobody has reviewed it.

    Raises `SegkitError` where the file cannot be read.
    """
    try:
        return decisions_in(json_lines(directory / FILE))
    except OSError as error:
        raise SegkitError(f"'{directory / FILE}' cannot be read: {error.strerror}") from None


def fits(decision: Decision, line: ResultLine | None) -> bool:
    """Whether a decision is about a mask that the run still has."""
    if line is None or not line.ok:
        return False
    if decision.mask is None or decision.mask >= len(line.masks):
        return decision.pixels is None  # else it was the run's, which has fewer now
    return decision.pixels in (None, line.masks[decision.mask].pixels)


def standing(decisions: Iterable[Decision], lines: Mapping[str, ResultLine]) -> dict[Key, Decision]:
    """The last decision about each mask, where it still stands."""
    last: dict[Key, Decision] = {}
    for decision in decisions:
        if fits(decision, lines.get(decision.image)):
            last[decision.image, decision.mask] = decision
    return {key: decision for key, decision in last.items() if decision.decision != "undone"}


def now() -> str:
    """The time as `Decision.when` has it."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def decisions_named(text: str) -> frozenset[str]:
    """What `keep,corrected` means. Raises `UsageError` for a word that is no decision."""
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if word not in DECISIONS:
            hint = did_you_mean(word, DECISIONS, f"there is {', '.join(DECISIONS)}")
            raise UsageError(f"--reviewed {text}: '{word}' is no decision; {hint}")
    return frozenset(words)


def corrected_mask(directory: Path, decision: Decision, size: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W) bool: the mask in a decision's file, in the run's folder `directory`.

    Raises `BadImageError` where the file cannot be read or has another size, `BadValueError` where
    it lies outside of the folder.
    """
    path = directory / str(decision.file)
    if not path.resolve().is_relative_to(directory.resolve()):
        raise BadValueError(f"the corrected mask '{path}' lies outside of the run's folder")
    return read_mask(path, size) > 0
