"""Large arrays of values that wait for their next step: where they are meanwhile.

A value may be made anew whenever a step reads it, as heatmaps and packed masks are, or lie in a
file (`Rows`). What was read last stays at hand (`at_hand`), so that a step may read it as often as
it likes; a run lets it go when the step is done (`let_go`).
"""

from __future__ import annotations

import tempfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.values.checking import check_finite

AT_HAND = 1 << 28
"""Bytes of arrays that stay at hand, but for the last one, which does so in any case: 256 MiB."""

IN_MEMORY = 1 << 27
"""Rows of one value that take more bytes than this lie in a file: 128 MiB."""


class _AtHand(threading.local):
    """The arrays that were read last, by their owner's id, with the owner."""

    def __init__(self) -> None:
        self.arrays: OrderedDict[int, tuple[Any, NDArray[Any]]] = OrderedDict()


_at_hand = _AtHand()


def at_hand(owner: object, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    """The owner's array, read-only: the one at hand, or a new one."""
    arrays = _at_hand.arrays
    if id(owner) in arrays:
        arrays.move_to_end(id(owner))
        return arrays[id(owner)][1]
    array = make()
    array.flags.writeable = False
    arrays[id(owner)] = (owner, array)
    while len(arrays) > 1 and sum(kept.nbytes for _, kept in arrays.values()) > AT_HAND:
        arrays.popitem(last=False)
    return array


def owner_of(array: object) -> Any:
    """Whose array at hand this is; None if it is nobody's."""
    return next((own for own, kept in _at_hand.arrays.values() if kept is array), None)


def let_go() -> None:
    """Keep nothing at hand."""
    _at_hand.arrays.clear()


# ---- rows in a file ----------------------------------------------------------------------------


class _File:
    """A file without a name, which goes with the last row that lies in it."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="segkit-")  # noqa: SIM115 - goes with the object
        weakref.finalize(self, self._file.close)
        self._lock = threading.Lock()
        self._end = 0

    def append(self, row: NDArray[np.float32]) -> int:
        """Where the row lies."""
        with self._lock:
            start = self._end
            self._file.seek(start)
            self._file.write(np.ascontiguousarray(row).data)
            self._end += row.nbytes
        return start

    def read(self, start: int, out: NDArray[np.float32]) -> None:
        """Read a row into an array."""
        with self._lock:
            self._file.seek(start)
            self._file.readinto(out.data)


class Rows:
    """Rows (n, *shape) float32 in files, such as the logits of ten thousand masks.

    `shape` is that of a row.
    """

    def __init__(self, shape: tuple[int, ...], places: Iterable[tuple[_File, int]] = ()) -> None:
        self.shape = shape
        self.places = tuple(places)

    def __len__(self) -> int:
        return len(self.places)

    def take(self, indices: Iterable[int]) -> Rows:
        """The rows at these indices; nothing is read."""
        return Rows(self.shape, [self.places[i] for i in indices])

    def read(self) -> NDArray[np.float32]:
        """All of them as an array."""
        rows = np.empty((len(self), *self.shape), np.float32)
        for row, (file, start) in zip(rows, self.places, strict=True):
            file.read(start, row)
        return rows


class RowStack:
    """Rows gathered block by block: an array, or in a file where they are many.

    `expected`: how many blocks will come. Where they are so many, the first lies in the file too.
    """

    def __init__(self, expected: int = 0) -> None:
        self._expected = expected
        self._blocks: list[NDArray[np.float32]] = []
        self._bytes = 0
        self._places: list[tuple[_File, int]] = []
        self._file: _File | None = None

    def add(self, block: NDArray[np.float32]) -> None:
        """Add a block (c, *shape) float32; all blocks have one shape.

        Raises `BadValueError` for NaN and infinity.
        """
        check_finite("Masks", "logits", block)
        self._blocks.append(block)
        self._bytes += block.nbytes
        if self._file is None and max(self._bytes, self._expected * block.nbytes) > IN_MEMORY:
            self._file = _File()
        if self._file is not None:
            blocks, self._blocks = self._blocks, [block[:0]]  # an empty one: it has the shape
            self._places += [(self._file, self._file.append(r)) for b in blocks for r in b]

    def done(self) -> NDArray[np.float32] | Rows:
        """All rows: (n, *shape) float32, or in a file."""
        if self._file is not None:
            return Rows(self._blocks[0].shape[1:], self._places)
        rows = np.concatenate(self._blocks)
        rows.flags.writeable = False
        return rows


def rows_joined(parts: Sequence[NDArray[np.float32] | Rows]) -> NDArray[np.float32] | Rows:
    """The rows of several, all of one shape and at least one, one after another."""
    arrays = [part for part in parts if not isinstance(part, Rows)]
    if len(arrays) == len(parts) and sum(part.nbytes for part in arrays) <= IN_MEMORY:
        return np.concatenate(arrays)
    file = _File()
    places: list[tuple[_File, int]] = []
    for part in parts:
        own = part.places if isinstance(part, Rows) else [(file, file.append(r)) for r in part]
        places += own
    return Rows(parts[0].shape[-2:], places)
