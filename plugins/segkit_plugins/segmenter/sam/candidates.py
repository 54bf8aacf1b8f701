"""Candidate masks of one crop at the model's low resolution, and those of them that stay.

segment-anything enlarges every candidate, measures it, and then lets all but a few go as
duplicates. Here candidates stay small until it is clear that they are no duplicates: the low
resolution bounds a mask's box from outside and from inside, and a mask whose box must overlap too
much with a better mask's box is one. Only those that are left are enlarged, and only where they
can be positive. What stays is the same, but for the rounding of logits to half precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from segkit_plugins.segmenter._prompted import Frame

if TYPE_CHECKING:
    from torch import Tensor

SLACK = 0.05
"""How much a mask's stability at low resolution may fall short before it is measured in full."""

NEAR = 20.0
"""Boxes that end this near to a crop's border, in pixels, show objects that it cuts."""

LARGEST = 6e4
"""Logits are kept in half precision, whose largest number is a little more."""

Box = tuple[int, int, int, int]


@dataclass
class Kept:
    """Masks in one crop, best first; packed, eight pixels a byte, for there may be thousands."""

    bits: list[NDArray[np.uint8]]
    """(bytes,) of each mask (H, W) of the crop."""
    scores: NDArray[np.float32]
    """(n,) IoU that the model expects."""
    boxes: NDArray[np.float32]
    """(n, 4) first and last x and y, in the crop."""


@dataclass(frozen=True)
class Limits:
    """When a candidate is a mask."""

    threshold: float
    """Logits above it are positive."""
    offset: float
    """How much higher and lower the thresholds are whose masks are compared."""
    stability: float
    """The least IoU between those two masks."""
    overlap: float
    """Of two masks whose boxes overlap by more than this IoU, the better one stays."""


class Axis:
    """Which rows (or columns) of the low resolution those of the full one are made of."""

    def __init__(self, matrix: Tensor) -> None:
        """`matrix` (full, low): what each low row adds to a full one."""
        used = matrix.cpu().numpy() != 0
        self._first = used.argmax(axis=1)
        self._last = used.shape[1] - 1 - used[:, ::-1].argmax(axis=1)
        low = np.arange(used.shape[1])
        first, last = self._made_of(low - 1, low + 1)
        self.dense = bool((first <= last).all())
        """Whether each low row has a full one that is made of it and the two beside it alone."""

    def outer(self, first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
        """The first and last full row (2, n) in which low rows `first` … `last` (n,) have a part.

        Where there is none, the first comes after the last.
        """
        return np.stack(
            [
                np.searchsorted(self._last, first),
                np.searchsorted(self._first, last, side="right") - 1,
            ]
        )

    def inner(self, first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
        """(2, n): a full row made of nothing but low row `first` and those beside it, the first
        such row; and of `last`, the last."""
        return self._made_of(first - 1, last + 1)

    def needed(self, first: int, last: int) -> tuple[int, int]:
        """The first low row that full rows `first` … `last` need, and the one after the last."""
        return int(self._first[first]), int(self._last[last]) + 1

    def _made_of(self, first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
        """The first full row that needs no low row before `first`, the last that needs none after
        `last`."""
        return np.stack(
            [
                np.searchsorted(self._first, first),
                np.searchsorted(self._last, last, side="right") - 1,
            ]
        )


class Candidates:
    """Candidates of one crop, gathered batch by batch, and in the end those that stay."""

    def __init__(self, frame: Frame, limits: Limits, device: str) -> None:
        self.frame, self.limits = frame, limits
        self._down, self._across = (m.to(device) for m in frame.matrices)
        self._low: list[NDArray[np.float16]] = []
        self._corners: list[tuple[int, int]] = []  # first row and column of each in the logits
        self._parts: list[NDArray[np.int64]] = []  # (4,) full pixels x0, y0, x1, y1 to look at
        self._bounds: list[NDArray[np.int64]] = []  # (2, 4) outer and inner box
        self._scores: list[float] = []

    @cached_property
    def _axes(self) -> tuple[Axis, Axis]:
        """Of columns and of rows."""
        return Axis(self._across.T), Axis(self._down)

    def add(self, low: Tensor, quality: Tensor) -> None:
        """Take candidates with logits (n, h, w) whose expected IoU is `quality` (n,)."""
        limits = self.limits
        rows, columns = self.frame.covered
        inside = low[:, :rows, :columns]
        higher = _count(inside > limits.threshold + limits.offset)
        wider = _count(inside > limits.threshold - limits.offset)
        least = (limits.stability - SLACK) * wider.clamp(min=1)
        # The last covered row is enlarged with the one beyond it.
        low = low[:, : rows + 1, : columns + 1]
        # A mask without a pixel is no mask, whatever the thresholds.
        hopeful = (higher >= least) & (low.amax(dim=(1, 2)) > limits.threshold)
        low, quality = low[hopeful], quality[hopeful].cpu()
        if not len(low):
            return
        x, y = self._axes
        lines = low.amax(dim=1).cpu().numpy(), low.amax(dim=2).cpu().numpy()
        parts = self._outer(*(line > limits.threshold - limits.offset for line in lines))
        outer = self._outer(*(line > limits.threshold for line in lines))
        bounds = np.stack([outer, self._inner(low, outer)], axis=1)
        halves = low.clamp(-LARGEST, LARGEST).half().cpu().numpy()
        for i in np.flatnonzero((parts[:, :2] <= parts[:, 2:]).all(axis=1)):
            (left, right), (top, bottom) = x.needed(*parts[i, ::2]), y.needed(*parts[i, 1::2])
            self._low.append(halves[i, top:bottom, left:right].copy())
            self._corners.append((top, left))
            self._parts.append(parts[i])
            self._bounds.append(bounds[i])
            self._scores.append(float(quality[i]))

    def best(self, crop: Box, whole: tuple[int, int]) -> Kept:
        """Stable masks without duplicates, best first: greedy non-maximum suppression.

        `crop` is the box of the crop, first and after the last x and y, in an image of (H, W).
        """
        kept = Kept([], np.zeros(0, np.float32), np.zeros((0, 4), np.float32))
        if not self._low:
            return kept
        scores, bounds = np.array(self._scores, np.float32), np.stack(self._bounds)
        duplicate = np.zeros(len(scores), bool)
        places = []
        for place in np.argsort(-scores, kind="stable"):
            mask = None if duplicate[place] else self._enlarged(place)
            if mask is None:
                continue
            box = boxes_of(mask[None])
            near = _overlap(kept.boxes, kept.boxes, box[0]) > self.limits.overlap
            if near.any() or cut_off(box, crop, whole)[0]:
                continue
            kept.bits.append(np.packbits(mask))
            kept.boxes = np.concatenate([kept.boxes, box])
            duplicate |= _overlap(bounds[:, 1], bounds[:, 0], box[0]) > self.limits.overlap
            places.append(place)
        kept.scores = scores[places]
        return kept

    def _outer(
        self, columns: NDArray[np.bool_], rows: NDArray[np.bool_]
    ) -> NDArray[np.int64]:
        """Boxes (n, 4) of the full pixels in which these low columns and rows have a part."""
        (x, y), (x0, x1, y0, y1) = self._axes, _ends(columns, rows)
        return np.stack([*x.outer(x0, x1), *y.outer(y0, y1)])[[0, 2, 1, 3]].T

    def _inner(self, low: Tensor, outer: NDArray[np.int64]) -> NDArray[np.int64]:
        """Boxes (n, 4) that the full masks' boxes hold, of logits that are positive in `outer`.

        Where all nine places around one are positive, the full mask is positive in the middle.
        Where there is no such place, the box is empty.
        """
        x, y = self._axes
        nothing = outer[:, [0, 1, 0, 1]]
        if not (x.dense and y.dense) or min(low.shape[1:]) < 3:
            return nothing
        positive = low > self.limits.threshold
        core = positive[:, :-2] & positive[:, 1:-1] & positive[:, 2:]
        core = (core[:, :, :-2] & core[:, :, 1:-1] & core[:, :, 2:]).cpu()
        there = core.numpy()
        x0, x1, y0, y1 = (1 + end for end in _ends(there.any(axis=1), there.any(axis=2)))
        inner = np.stack([*x.inner(x0, x1), *y.inner(y0, y1)])[[0, 2, 1, 3]].T
        return np.where(there.any(axis=(1, 2))[:, None], inner, nothing)

    def _enlarged(self, place: int) -> NDArray[np.bool_] | None:
        """The mask (H, W) of one candidate, if it is stable and has a pixel."""
        import torch

        limits, mask = self.limits, np.zeros(self.frame.size, bool)
        x0, y0, x1, y1 = self._parts[place] + [0, 0, 1, 1]
        low = torch.from_numpy(self._low[place]).to(self._down.device).float()
        (top, left), (height, width) = self._corners[place], low.shape
        down = self._down[y0:y1, top : top + height]
        across = self._across[left : left + width, x0:x1]
        full = (down @ (low @ across)).cpu().numpy()
        higher = np.count_nonzero(full > limits.threshold + limits.offset)
        wider = np.count_nonzero(full > limits.threshold - limits.offset)
        mask[y0:y1, x0:x1] = full > limits.threshold
        return mask if higher >= limits.stability * max(1, wider) and mask.any() else None


def _count(masks: Tensor) -> Tensor:
    """The pixels (n,) of masks (n, h, w)."""
    import torch

    # Several times as fast as a sum of truth values, which become 64-bit integers.
    return masks.view(torch.uint8).flatten(1).sum(dim=1, dtype=torch.int32)


def _ends(columns: NDArray[np.bool_], rows: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """First and last x, first and last y (n,) of what is true in columns (n, w) and rows (n, h)."""
    ends = []
    for line in (columns, rows):
        ends += [line.argmax(axis=1), line.shape[1] - 1 - line[:, ::-1].argmax(axis=1)]
    return ends


def _overlap(
    inner: NDArray[np.generic], outer: NDArray[np.generic], box: NDArray[np.float32]
) -> NDArray[np.float64]:
    """The least IoU (n,) of `box` (4,) with boxes that hold `inner` and lie in `outer` (n, 4)."""
    sides = np.minimum(inner[:, 2:], box[2:]) - np.maximum(inner[:, :2], box[:2])
    common = sides.clip(min=0).prod(axis=1).astype(np.float64)
    areas = (outer[:, 2:] - outer[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    return np.asarray(common / (areas - common).clip(min=1e-9), np.float64)


def boxes_of(masks: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(n, 4) first and last x and y of masks (n, H, W) that are not empty."""
    x0, x1, y0, y1 = _ends(masks.any(axis=1), masks.any(axis=2))
    return np.stack([x0, y0, x1, y1], axis=1).astype(np.float32)


def cut_off(boxes: NDArray[np.float32], crop: Box, whole: tuple[int, int]) -> NDArray[np.bool_]:
    """(n,): whether a box (n, 4) in a crop ends at its border where the image goes on."""
    placed = boxes + np.tile(crop[:2], 2).astype(np.float32)
    at_crop = np.abs(placed - np.array(crop)) <= NEAR
    at_image = np.abs(placed - np.array([0, 0, whole[1], whole[0]])) <= NEAR
    return np.asarray((at_crop & ~at_image).any(axis=1), bool)
