"""What a pool of workers is: it starts them, hands them chunks, and tells what comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import segkit.errors
from segkit.errors import SegkitError
from segkit.running.engines.parcel import Chunk, Parcel
from segkit.running.lines import Line


class RefusalError(Exception):
    """Why a worker cannot work for a run, which ends with it. Can be pickled."""

    def __init__(self, kind: str, text: str, recipe: str = "", disk: int = 0) -> None:
        """`kind`: the error's class; `recipe` and `disk`: whose folder refuses, with errno."""
        super().__init__(kind, text, recipe, disk)
        self.kind, self.text, self.recipe, self.disk = kind, text, recipe, disk

    @classmethod
    def of(cls, error: SegkitError) -> RefusalError:
        """That of an error which is a sentence."""
        return cls(type(error).__name__, str(error))

    @property
    def error(self) -> SegkitError:
        """The error as it was raised, where its class takes a text alone; else as a sentence."""
        known = getattr(segkit.errors, self.kind, SegkitError)
        if known in (segkit.errors.UsageError, segkit.errors.PlanError, segkit.errors.PluginError):
            return known(self.text)
        return SegkitError(self.text)


@dataclass(frozen=True)
class Hello:
    """A worker is there; `told`: see `worker.introduced`."""

    worker: int
    told: Mapping[str, Any]


@dataclass(frozen=True)
class Ready:
    """A worker has opened the steps; `told`: see `Worker.open`."""

    worker: int
    told: Mapping[str, Any]


@dataclass(frozen=True)
class Made:
    """Lines of a chunk, each with its recipe; `done`: all there will be."""

    worker: int
    number: int
    lines: Sequence[tuple[str, Line]]
    done: bool
    busy: float = 0.0
    """Seconds that the worker worked on them."""
    heard: Sequence[str] = ()
    """What there was to warn of."""


@dataclass(frozen=True)
class Refused:
    """A worker cannot work for this run."""

    worker: int
    why: RefusalError


@dataclass(frozen=True)
class Died:
    """A worker has ended by itself, and what it was working on with it."""

    worker: int
    why: str
    """Such as `exit 137: out of memory?`."""


Event = Hello | Ready | Made | Refused | Died


class Pool(Protocol):
    """Workers, wherever they are. Their numbers are the driver's, each used once."""

    def wanted(self) -> int:
        """How many workers there should be by now; it may change while nodes come and go."""
        ...

    def start(self, worker: int) -> None:
        """Begin to start a worker; `Hello` or `Died` comes of it."""
        ...

    def open(self, worker: int, parcel: Parcel) -> None:
        """Have it open the steps; `Ready`, `Refused` or `Died` comes of it."""
        ...

    def submit(self, worker: int, chunk: Chunk) -> None:
        """Hand it a chunk, behind those that it has; `Made`, `Refused` or `Died` comes of it."""
        ...

    def poll(self, timeout: float) -> list[Event]:
        """What has happened; waits for `timeout` seconds at most where nothing has."""
        ...

    def kill(self, worker: int) -> None:
        """End a worker at once; nothing more is told of it."""
        ...

    def close(self, *, at_once: bool) -> None:
        """End all workers, `at_once` or when they have closed their steps."""
        ...


def exit_words(code: int) -> str:
    """How a process ended, such as `exit 137: out of memory?`; a signal counts as shells do."""
    code = 128 - code if code < 0 else code
    guesses = {137: "out of memory?", 139: "a crash in a library?", 134: "a crash in a library?"}
    return f"exit {code}" + (f": {guesses[code]}" if code in guesses else "")
