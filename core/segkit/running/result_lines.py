"""results.jsonl as it is read: the place of each image's line is known, the line read when asked.

So a run of a million images takes no more memory than their names do.
"""

from __future__ import annotations

import json
import weakref
from array import array
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from segkit.errors import UsageError
from segkit.running.records import ResultLine

HELD = 10_000
"""Up to so many lines are held in memory; of more each is read whenever it is asked for."""


class ResultLines(Mapping[str, ResultLine]):
    """Image name to its line, in the order of the file; of two lines of an image the later one.

    Values come fastest in that order. The file may grow meanwhile, or another take its place: what
    was there in the beginning is what is read.
    """

    def __init__(self, path: Path) -> None:
        """The file need not be there. Raises `OSError` where it cannot be read."""
        self.path = path
        self.unreadable = 0
        """How many lines make no sense: they were cut off, or are none of ours."""
        self._places: dict[str, int] = {}
        """Image name to its place among the images."""
        self._offsets = array("q")
        self._held: list[ResultLine] | None = []
        self._file: BinaryIO | None = None
        try:
            self._look()
        except FileNotFoundError:
            return

    def place(self, name: str) -> int | None:
        """The place of an image among those of the file; None where it has no line."""
        return self._places.get(name)

    def close(self) -> None:
        """Let go of the file until a line is asked for again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __getitem__(self, name: str) -> ResultLine:
        place = self._places[name]
        return self._read(name, place) if self._held is None else self._held[place]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def _look(self) -> None:
        offset = 0
        for text in self._opened():  # only \n ends a line: names may hold what str takes for an end
            if text.strip():
                try:
                    line = _parsed(text)
                except (ValueError, RecursionError):
                    self.unreadable += 1
                else:
                    self._note(line, offset)
            offset += len(text)
        if self._held is not None:
            self.close()

    def _note(self, line: ResultLine, offset: int) -> None:
        place = self._places.setdefault(line.name, len(self._places))
        if place < len(self._offsets):
            self._offsets[place] = offset
        else:
            self._offsets.append(offset)
        if self._held is not None:
            self._held[place : place + 1] = [line]
            if len(self._held) > HELD:
                self._held = None

    def _read(self, name: str, place: int) -> ResultLine:
        file = self._opened()
        file.seek(self._offsets[place])
        with suppress(ValueError, RecursionError):
            line = _parsed(file.readline())
            if line.name == name:
                return line
        raise UsageError(
            f"'{self.path}' has changed while it was read; wait until its run has ended, and do "
            "that again"
        )

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self._file = file = self.path.open("rb")
            weakref.finalize(self, file.close)
        return self._file


def _parsed(text: bytes) -> ResultLine:
    return ResultLine.model_validate(json.loads(text.decode("utf-8", "replace")))
