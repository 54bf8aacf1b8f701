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
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segkit_plugins.segmenter._prompted import Frame

if TYPE_CHECKING:
    from torch import Tensor

    from segkit_plugins.segmenter.sam.on_device import DeviceCandidates

SLACK = 1.0
"""How much a mask's stability may grow in full, times the root of its pixels at low resolution.

Masks that would need more are not enlarged. It is the border that is rounded: on 14 photos of VOC's
train split, at 100 points each, none of `nano`'s 1,474 masks grew by more than 0.94.
"""

NEAR = 20.0
"""Boxes that end this near to a crop's border, in pixels, show objects that it cuts."""

LARGEST = 6e4
"""Logits are kept in half precision, whose largest number is a little more."""

SAMPLES = 32
"""Pixels along a mask's shorter side that are looked at, to know what its box holds at least."""

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

    def part(self, first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
        """The first and last full row (2, n) in which low rows `first` … `last` (n,) have a part.

        Where there is none, the first comes after the last.
        """
        start = np.searchsorted(self._last, first)
        return np.stack([start, np.searchsorted(self._first, last, side="right") - 1])

    def needed(self, first: int, last: int) -> tuple[int, int]:
        """The first low row that full rows `first` … `last` need, and the one after the last."""
        return int(self._first[first]), int(self._last[last]) + 1


def candidates_for(frame: Frame, limits: Limits, device: str) -> Candidates | DeviceCandidates:
    """Where candidates of one crop are gathered, as the device has it.

    A processor gains by leaving out what is not needed, one candidate after another; a GPU by doing
    all at once, for each that is looked at by itself has to be waited for.
    """
    from segkit_plugins.segmenter.sam.on_device import DeviceCandidates
    from segkit_plugins.shared.devices import works_together

    return (DeviceCandidates if works_together(device) else Candidates)(frame, limits, device)


class Candidates:
    """Candidates of one crop, gathered batch by batch, and in the end those that stay."""

    def __init__(self, frame: Frame, limits: Limits, device: str) -> None:
        import torch

        self.frame, self.limits = frame, limits
        self._down, self._across = frame.matrices(torch.device(device))
        self._low: list[NDArray[np.float16]] = []
        self._corners: list[tuple[int, int]] = []  # first row and column of each in the logits
        self._parts: list[NDArray[np.int64]] = []  # x0, y0, x1, y1 of full pixels to look at …
        self._outer: list[NDArray[np.int64]] = []  # … and of those that can be positive
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
        wider = _count(inside > limits.threshold - limits.offset).clamp(min=1)
        slack = SLACK * wider.float().rsqrt()
        # The last covered row is enlarged with the one beyond it.
        low = low[:, : rows + 1, : columns + 1]
        # A mask without a pixel is no mask, whatever the thresholds.
        hopeful = higher >= (limits.stability - slack) * wider
        hopeful &= low.amax(dim=(1, 2)) > limits.threshold
        low, quality = low[hopeful], quality[hopeful].cpu()
        if not len(low):
            return
        x, y = self._axes
        lines = low.amax(dim=1).cpu().numpy(), low.amax(dim=2).cpu().numpy()
        parts = self._reached(*(line > limits.threshold - limits.offset for line in lines))
        outer = self._reached(*(line > limits.threshold for line in lines))
        halves = low.clamp(-LARGEST, LARGEST).half().cpu().numpy()
        for i in np.flatnonzero((parts[:, :2] <= parts[:, 2:]).all(axis=1)):
            (left, right), (top, bottom) = x.needed(*parts[i, ::2]), y.needed(*parts[i, 1::2])
            self._low.append(halves[i, top:bottom, left:right].copy())
            self._corners.append((top, left))
            self._parts.append(parts[i])
            self._outer.append(outer[i])
            self._scores.append(float(quality[i]))

    def best(self, crop: Box, whole: tuple[int, int]) -> Kept:
        """Stable masks without duplicates, best first: greedy non-maximum suppression.

        `crop` is the box of the crop, first and after the last x and y, in an image of (H, W).
        """
        kept = Kept([], np.zeros(0, np.float32), np.zeros((0, 4), np.float32))
        scores = np.array(self._scores, np.float32)
        places = []
        for place in np.argsort(-scores, kind="stable"):
            mask = None if self._is_duplicate(place, kept.boxes) else self._mask(place)
            if mask is None:
                continue
            box = boxes_of(mask[None])
            if _overlap(box[0], box[0], kept.boxes, self.limits.overlap):
                continue
            if cut_off(box, crop, whole)[0]:
                continue
            kept.bits.append(np.packbits(mask))
            kept.boxes = np.concatenate([kept.boxes, box])
            places.append(place)
        kept.scores = scores[places]
        return kept

    def _reached(self, columns: NDArray[np.bool_], rows: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Boxes (n, 4) of the full pixels in which these low columns and rows have a part."""
        (x, y), (x0, x1, y0, y1) = self._axes, _ends(columns, rows)
        return np.stack([*x.part(x0, x1), *y.part(y0, y1)])[[0, 2, 1, 3]].T

    def _is_duplicate(self, place: int, kept: NDArray[np.float32]) -> bool:
        """Whether a candidate's box is sure to overlap too much with one of the boxes `kept`.

        It lies in the outer box, and holds the box of those pixels that are looked at here.
        """
        outer, most = self._outer[place], self.limits.overlap
        # The IoU of two boxes is at most the share of one that the other covers.
        kept = kept[_common(outer, kept) > most * _area(kept)]
        if not len(kept):
            return False
        corner, size = self._parts[place][:2], np.ptp(self._parts[place].reshape(2, 2), axis=0)
        step = max(1, int(size.min()) // SAMPLES)
        positive = self._enlarged(place, step) > self.limits.threshold
        if not positive.any():
            return False
        inner = boxes_of(positive[None])[0] * step + np.tile(corner, 2)
        return _overlap(inner, outer, kept, most)

    def _enlarged(self, place: int, step: int = 1) -> NDArray[np.float32]:
        """Logits of one candidate at every `step`th row and column of its part."""
        import torch

        x0, y0, x1, y1 = self._parts[place] + [0, 0, 1, 1]
        low = torch.from_numpy(self._low[place]).to(self._down.device).float()
        (top, left), (height, width) = self._corners[place], low.shape
        down = self._down[y0:y1:step, top : top + height]
        across = self._across[left : left + width, x0:x1:step]
        full: NDArray[np.float32] = (down @ (low @ across)).cpu().numpy()
        return full

    def _mask(self, place: int) -> NDArray[np.bool_] | None:
        """The mask (H, W) of one candidate, if it is stable and has a pixel."""
        limits, full = self.limits, self._enlarged(place)
        higher = np.count_nonzero(full > limits.threshold + limits.offset)
        wider = np.count_nonzero(full > limits.threshold - limits.offset)
        if higher < limits.stability * wider:
            return None
        mask = np.zeros(self.frame.size, bool)
        x0, y0, x1, y1 = self._parts[place] + [0, 0, 1, 1]
        mask[y0:y1, x0:x1] = full > limits.threshold
        return mask if mask.any() else None


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


def _area(boxes: NDArray[Any]) -> Any:
    """The areas of boxes (…, 4), from the first pixel to the last."""
    return (boxes[..., 2:] - boxes[..., :2]).prod(axis=-1)


def _common(box: NDArray[Any], boxes: NDArray[Any]) -> Any:
    """What a box (4,) has in common with boxes (n, 4): areas (n,)."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    return sides.clip(min=0).prod(axis=1)


def _overlap(
    inner: NDArray[Any], outer: NDArray[Any], boxes: NDArray[np.float32], least: float
) -> bool:
    """Whether a box that holds `inner` and lies in `outer` has a higher IoU with one of `boxes`."""
    common = _common(inner, boxes)
    return bool((common > least * (_area(outer) + _area(boxes) - common)).any())


def boxes_of(masks: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(n, 4) first and last x and y of masks (n, H, W) that are not empty."""
    x0, x1, y0, y1 = _ends(np.asarray(masks.any(axis=1)), np.asarray(masks.any(axis=2)))
    return np.stack([x0, y0, x1, y1], axis=1).astype(np.float32)


def cut_off(boxes: NDArray[np.float32], crop: Box, whole: tuple[int, int]) -> NDArray[np.bool_]:
    """(n,): whether a box (n, 4) in a crop ends at its border where the image goes on."""
    placed = boxes + np.tile(crop[:2], 2).astype(np.float32)
    at_crop = np.abs(placed - np.array(crop)) <= NEAR
    at_image = np.abs(placed - np.array([0, 0, whole[1], whole[0]])) <= NEAR
    return np.asarray((at_crop & ~at_image).any(axis=1), bool)
