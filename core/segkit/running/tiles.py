"""Tiles of a large image: where they lie, and how much each counts where several overlap.

All tiles of an image have one size, and are spread evenly: neighbours overlap by at least what was
asked for. An image of one tile has no tiles: it is worked on as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from segkit.errors import UsageError

SMALLEST = 64
"""The least side of a tile, in pixels."""

SHARE = 8
"""Where no overlap is asked for, it is the tile's side divided by this."""

Span = tuple[int, int]
"""The first row (or column) of a tile, and the one after its last."""


@dataclass(frozen=True)
class Tiles:
    """How large images are cut: squares of `side` pixels that overlap by `overlap` or more."""

    side: int
    overlap: int

    @classmethod
    def of(cls, side: int, overlap: int | None = None) -> Tiles | None:
        """The tiles of `--tile` and `--overlap`; None where images are looked at as a whole.

        `side` 0: none; `overlap` None: an eighth of the side. Raises `UsageError` for a tile of
        less than 64 pixels, an overlap of more than half a tile, and one without tiles.
        """
        if side == 0:
            if overlap:
                raise UsageError(
                    f"--overlap {overlap} says how far tiles overlap, and there are none; add "
                    "--tile, such as --tile 1024"
                )
            return None
        if side < SMALLEST:
            raise UsageError(
                f"--tile should be {SMALLEST} pixels or more, or 0 for whole images, but is {side}"
            )
        overlap = side // SHARE if overlap is None else overlap
        if not 0 <= overlap <= side // 2:
            raise UsageError(
                f"--overlap should be from 0 to {side // 2}, half of --tile {side}, but is "
                f"{overlap}; choose fewer pixels, or larger tiles"
            )
        return cls(side, overlap)

    def hold(self, size: tuple[int, int]) -> bool:
        """Whether an image of (H, W) is a single tile."""
        return max(size) <= self.side

    def grid(self, size: tuple[int, int]) -> Grid:
        """The tiles of an image of (H, W)."""
        return Grid(size, self._spans(size[0]), self._spans(size[1]))

    def _spans(self, length: int) -> tuple[Span, ...]:
        """Where tiles begin and end along an axis."""
        if length <= self.side:
            return ((0, length),)
        count = -(-(length - self.overlap) // (self.side - self.overlap))
        last = length - self.side
        starts = [(2 * i * last + count - 1) // (2 * (count - 1)) for i in range(count)]
        return tuple((start, start + self.side) for start in starts)


@dataclass(frozen=True)
class Tile:
    """A part of an image: its first row and column, and those after its last."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        """(h, w)."""
        return self.bottom - self.top, self.right - self.left

    @property
    def place(self) -> tuple[slice, slice]:
        """Its rows and columns of the image."""
        return self.within(0, 0)

    def within(self, top: int, left: int) -> tuple[slice, slice]:
        """Its rows and columns of a part of the image that begins at this row and column."""
        rows = slice(self.top - top, self.bottom - top)
        return rows, slice(self.left - left, self.right - left)

    def common(self, other: Tile) -> Tile | None:
        """What both cover, or None."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom, right = min(self.bottom, other.bottom), min(self.right, other.right)
        return Tile(top, left, bottom, right) if top < bottom and left < right else None


@dataclass(frozen=True)
class Grid:
    """The tiles of one image, row by row."""

    size: tuple[int, int]
    """(H, W) of the image."""
    rows: tuple[Span, ...]
    columns: tuple[Span, ...]

    @cached_property
    def tiles(self) -> tuple[Tile, ...]:
        """All of them."""
        return tuple(
            Tile(top, left, bottom, right)
            for (top, bottom), (left, right) in product(self.rows, self.columns)
        )

    @cached_property
    def own(self) -> tuple[Tile, ...]:
        """The part of each tile that is nobody else's: overlaps are cut in the middle."""
        return tuple(
            Tile(top, left, bottom, right)
            for (top, bottom), (left, right) in product(_cut(self.rows), _cut(self.columns))
        )

    @cached_property
    def weights(self) -> tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]:
        """What each tile counts, (h,) along its rows and (w,) along its columns, float32 in (0, 1].

        The weight of a pixel is their product, a raised cosine across an overlap; those of all
        tiles that hold a pixel add up to 1.
        """
        down, across = map(_windows, (self.rows, self.columns), self.size)
        return tuple(product(down, across))

    def overlapping(self, index: int) -> list[int]:
        """The other tiles that have pixels of this one."""
        own = self.tiles[index]
        return [i for i, t in enumerate(self.tiles) if i != index and own.common(t) is not None]


def _cut(spans: Sequence[Span]) -> list[Span]:
    """Spans that touch where these overlap."""
    cuts = [(end + start) // 2 for (_, end), (start, _) in pairwise(spans)]
    return [*zip([spans[0][0], *cuts], [*cuts, spans[-1][1]], strict=True)]


def _windows(spans: Sequence[Span], length: int) -> list[NDArray[np.float32]]:
    """A weight for each row of each span, which add up to 1 at each row of the image."""
    windows = []
    total = np.zeros(length)
    for i, (start, end) in enumerate(spans):
        window = np.ones(end - start)
        before = spans[i - 1][1] - start if i else 0
        after = end - spans[i + 1][0] if i + 1 < len(spans) else 0
        window[:before] *= _rise(before)
        window[len(window) - after :] *= _rise(after)[::-1]
        windows.append(window)
        total[start:end] += window
    return [
        (window / total[start:end]).astype(np.float32)
        for window, (start, end) in zip(windows, spans, strict=True)
    ]


def _rise(length: int) -> NDArray[np.float64]:
    """A raised cosine (length,) from nearly 0 to nearly 1."""
    rise: NDArray[np.float64] = (
        np.sin((np.arange(length) + 0.5) * (np.pi / 2 / max(length, 1))) ** 2
    )
    return rise
