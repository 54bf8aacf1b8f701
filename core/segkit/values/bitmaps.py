"""Many masks of one image in little room: each cut to its bounding box, eight pixels a byte.

Nothing is lost: what is unpacked equals what was packed, pixel for pixel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segkit.errors import BadValueError, TooLargeError
from segkit.memory import HostMemory, shown

DENSE = 1 << 28
"""Masks of one image that take more bytes than this as bool arrays are packed: 256 MiB."""

BLOCK = 1 << 20
"""Bytes of bits that a `MaskStack` keeps together: 1 MiB."""


def large(nbytes: int) -> bool:
    """Whether masks of so many bytes are packed."""
    return nbytes > DENSE


_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)
"""(256,): how many bits of a byte are set."""


@dataclass(frozen=True, eq=False)
class Bitmap:
    """One mask: the bits of its bounding box, whose columns begin at a multiple of 8."""

    top: int
    left: int
    width: int
    """In pixels, from `left`."""
    bits: NDArray[np.uint8]
    """(h, ceil(width / 8)) uint8, the first column in the highest bit."""
    area: int
    """How many pixels it has."""

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> Bitmap:
        """Pack a mask (H, W) bool."""
        rows = np.flatnonzero(mask.any(axis=1))
        if not len(rows):
            return cls(0, 0, 0, np.zeros((0, 0), np.uint8), 0)
        top, end = int(rows[0]), int(rows[-1]) + 1
        columns = np.flatnonzero(mask[top:end].any(axis=0))
        left, right = int(columns[0]) // 8 * 8, int(columns[-1]) + 1
        inside = mask[top:end, left:right]
        area = int(np.count_nonzero(inside))
        return cls(top, left, right - left, np.packbits(inside, axis=1), area)

    def paint(self, out: NDArray[np.bool_]) -> None:
        """Set its pixels in (H, W) bool."""
        out[self.place] |= self.inside

    @property
    def place(self) -> tuple[slice, slice]:
        """The rows and columns of its bounding box."""
        rows = slice(self.top, self.top + len(self.bits))
        return rows, slice(self.left, self.left + self.width)

    @property
    def inside(self) -> NDArray[np.bool_]:
        """(h, width) bool: the mask in its bounding box."""
        return np.unpackbits(self.bits, axis=1, count=self.width).view(np.bool_)

    def shared(self, other: Bitmap) -> int:
        """How many pixels both have."""
        top, end = max(self.top, other.top), min(self._end, other._end)
        first = max(self.left, other.left) // 8
        last = min(self.left // 8 + self.bits.shape[1], other.left // 8 + other.bits.shape[1])
        if end <= top or last <= first:
            return 0
        own, its = (b._part(top, end, first, last) for b in (self, other))
        return int(_BITS[own & its].sum(dtype=np.int64))

    @property
    def _end(self) -> int:
        return self.top + len(self.bits)

    def _part(self, top: int, end: int, first: int, last: int) -> NDArray[np.uint8]:
        """The bytes of these rows of the image, and of these columns of 8."""
        start = self.left // 8
        return self.bits[top - self.top : end - self.top, first - start : last - start]


class PackedMasks(Sequence[Any]):
    """Masks (n, H, W) of one image, packed; an item is one of them as (H, W) bool.

    `Masks` takes it in place of an array. Make it of an array (`PackedMasks.of`), or block by block
    with a `MaskStack`.
    """

    def __init__(self, size: tuple[int, int], bitmaps: Iterable[Bitmap] = ()) -> None:
        self.size = (int(size[0]), int(size[1]))
        """(H, W)."""
        self.bitmaps = tuple(bitmaps)

    @classmethod
    def of(cls, masks: ArrayLike) -> PackedMasks:
        """Pack (n, H, W) bool. Raises `BadValueError` for another shape or type."""
        array = np.asarray(masks)
        if array.ndim != 3 or array.dtype != np.bool_:
            raise BadValueError(
                "PackedMasks.of should be given masks (n, H, W) bool, but is given "
                f"{array.dtype} of shape {array.shape}"
            )
        return cls((array.shape[1], array.shape[2]), map(Bitmap.of, array))

    @classmethod
    def joined(cls, size: tuple[int, int], parts: Iterable[PackedMasks]) -> PackedMasks:
        """Those of several, one after another, all of the size (H, W)."""
        return cls(size, [bitmap for part in parts for bitmap in part.bitmaps])

    def __len__(self) -> int:
        return len(self.bitmaps)

    def __getitem__(self, index: Any) -> Any:
        """The mask (H, W) bool at a place; of a slice, those masks, packed."""
        if isinstance(index, slice):
            return PackedMasks(self.size, self.bitmaps[index])
        mask = np.zeros(self.size, bool)
        self.bitmaps[index].paint(mask)
        mask.flags.writeable = False
        return mask

    def __iter__(self) -> Iterator[NDArray[np.bool_]]:
        return (self[i] for i in range(len(self)))

    def take(self, indices: Iterable[int]) -> PackedMasks:
        """The masks at these indices, in this order."""
        return PackedMasks(self.size, [self.bitmaps[i] for i in indices])

    @cached_property
    def areas(self) -> NDArray[np.int64]:
        """(n,): how many pixels each has."""
        return np.array([b.area for b in self.bitmaps], np.int64)

    @cached_property
    def boxes(self) -> NDArray[np.int64]:
        """(n, 4): top, left, bottom and right of bounding boxes; right and bottom lie outside.

        Columns begin at a multiple of 8, so a box may have up to 7 empty columns at its left.
        """
        ends = [(b.top, b.left, b._end, b.left + b.width) for b in self.bitmaps]
        return np.array(ends, np.int64).reshape(-1, 4)

    def shared(self, i: int, j: int) -> int:
        """How many pixels two of them have in common."""
        return self.bitmaps[i].shared(self.bitmaps[j])

    def covered(self, indices: Iterable[int] | None = None) -> NDArray[np.bool_]:
        """(H, W) bool: pixels of at least one of them, or of those at these indices."""
        union = np.zeros(self.size, bool)
        for i in range(len(self)) if indices is None else indices:
            self.bitmaps[i].paint(union)
        return union

    @property
    def nbytes(self) -> int:
        """The bytes that their bits take."""
        return sum(b.bits.nbytes for b in self.bitmaps)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """As arrays for a file: `bits` (bytes,) one mask behind another; `boxes`; `size` (H, W).

        `boxes` (n, 4) has of each mask the first row and column, the rows, and the columns.
        """
        bits = [b.bits.ravel() for b in self.bitmaps]
        boxes = [(b.top, b.left, len(b.bits), b.width) for b in self.bitmaps]
        return {
            "bits": np.concatenate([np.zeros(0, np.uint8), *bits]),
            "boxes": np.array(boxes, np.int64).reshape(-1, 4),
            "size": np.array(self.size),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> PackedMasks:
        """The masks of `to_arrays`. Raises `BadValueError` where the arrays do not go together."""
        (height, width), start = arrays["size"].tolist(), 0
        bitmaps = []
        for top, left, rows, columns in arrays["boxes"].tolist():
            end = start + rows * -(-columns // 8)
            bits = arrays["bits"][start:end].reshape(rows, -(-columns // 8))
            outside = min(top, left, rows, columns) < 0 or top + rows > height
            if outside or left % 8 or left + columns > width:
                raise BadValueError(f"a mask of {width}x{height} pixels should lie inside of them")
            area = int(_BITS[bits].sum(dtype=np.int64))
            bitmaps.append(Bitmap(top, left, columns, bits, area))
            start = end
        return cls((height, width), bitmaps)

    def unpacked(self) -> NDArray[np.bool_]:
        """(n, H, W) bool. Raises `TooLargeError` where the memory has no room for it."""
        wanted = len(self) * self.size[0] * self.size[1]
        check_room(len(self), self.size, wanted, "{} of memory as one array")
        masks = np.zeros((len(self), *self.size), bool)
        for mask, bitmap in zip(masks, self.bitmaps, strict=True):
            mask[bitmap.place] = bitmap.inside
        return masks

    def same(self, other: PackedMasks) -> bool:
        """Whether both have the same pixels."""
        if self.size != other.size or len(self) != len(other):
            return False
        pairs = zip(self.bitmaps, other.bitmaps, strict=True)
        return all(
            a is b
            or (
                (a.top, a.left, a.area) == (b.top, b.left, b.area)
                and np.array_equal(a.bits, b.bits)
            )
            for a, b in pairs
        )


class _Block:
    """Bits of masks in one piece of memory, until all masks are there.

    Between two masks a segmenter makes and drops arrays of megabytes. A small array of each mask's
    own would lie among those and stay, and leave holes that the next large ones do not fit into:
    100 KiB of memory for a mask of a few hundred bytes.
    """

    def __init__(self, nbytes: int) -> None:
        self._bits = np.empty(nbytes, np.uint8)
        self._end = 0
        self._within: list[tuple[int, int, int, tuple[int, int], int]] = []

    def has_room(self, bitmap: Bitmap) -> bool:
        """Whether its bits go in."""
        return self._end + bitmap.bits.size <= len(self._bits)

    def add(self, bitmap: Bitmap) -> None:
        """Take a mask in."""
        rows, columns = bitmap.bits.shape
        end = self._end + rows * columns
        self._bits[self._end : end] = bitmap.bits.ravel()
        # No array is kept, not even an empty one.
        own = (bitmap.top, bitmap.left, bitmap.width, (rows, columns), bitmap.area)
        self._within.append(own)
        self._end = end

    def bitmaps(self) -> Iterator[Bitmap]:
        """The masks, each with bits of its own."""
        start = 0
        for top, left, width, (rows, columns), area in self._within:
            end = start + rows * columns
            bits = self._bits[start:end].reshape(rows, columns).copy()
            yield Bitmap(top, left, width, bits, area)
            start = end


class MaskStack:
    """Masks of one image gathered block by block: an array, or packed where they are many.

    `expected`: how many blocks will come. Where they are so many, masks are packed from the first
    on; and while they come, what all will take is worked out from what the first ones took.
    """

    def __init__(self, size: tuple[int, int], expected: int = 0) -> None:
        self.size = size
        self._expected = expected
        self._blocks = 0
        self._count = 0
        self._dense: list[NDArray[np.bool_]] = []
        self._packing: list[_Block] | None = [] if self._is_large(expected) else None
        self._packed: list[Bitmap] = []
        self._bytes = 0

    def add(self, masks: NDArray[np.bool_]) -> None:
        """Add a block (c, H, W) bool.

        Raises `TooLargeError` where the blocks that are to come would not fit into the memory.
        """
        self._blocks += 1
        self._count += len(masks)
        self._dense.append(masks)
        if self._packing is None and self._is_large(self._count):
            self._packing = []
        if self._packing is not None:
            blocks, self._dense = self._dense, []
            for block in blocks:
                for mask in block:
                    self._pack(mask, self._packing)
            self._look_ahead()

    def _pack(self, mask: NDArray[np.bool_], blocks: list[_Block]) -> None:
        bitmap = Bitmap.of(mask)
        if not blocks or not blocks[-1].has_room(bitmap):
            blocks.append(_Block(max(BLOCK, bitmap.bits.nbytes)))
        blocks[-1].add(bitmap)
        self._bytes += bitmap.bits.nbytes

    def _is_large(self, count: int) -> bool:
        return large(count * self.size[0] * self.size[1])

    def _look_ahead(self) -> None:
        """Refuse what would not fit, whenever the blocks have doubled and are not a few."""
        blocks = self._blocks
        if blocks < self._expected and blocks & (blocks - 1) == 0 and self._is_large(self._count):
            total = self._expected / blocks
            more = int(self._bytes * (total - 1))
            need = "another {} of memory even when they are packed"
            check_room(round(self._count * total), self.size, more, need)

    def done(self) -> NDArray[np.bool_] | PackedMasks:
        """All masks: (n, H, W) bool, or packed."""
        if self._packing is not None:
            while self._packing:  # one at a time, so that there is no second copy of all
                self._packed += self._packing.pop(0).bitmaps()
            return PackedMasks(self.size, self._packed)
        if not self._dense:
            return np.zeros((0, *self.size), bool)
        masks = np.concatenate(self._dense)
        masks.flags.writeable = False
        return masks


def check_room(count: int, size: tuple[int, int], wanted: int, need: str) -> None:
    """Refuse, with `TooLargeError`, masks that take more bytes than there is memory for.

    `need`: how that is said, with {} for the amount.
    """
    if not large(wanted):
        return
    free = HostMemory().free()
    if free is not None and wanted > free:
        height, width = size
        raise TooLargeError(
            f"{count:,} masks of {width}x{height} pixels need {need.format(shown(wanted))}, and "
            f"{shown(free)} are free; ask for fewer objects or classes, or make the image smaller"
        )
