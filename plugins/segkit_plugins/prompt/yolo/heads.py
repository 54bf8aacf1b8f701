"""What YOLO networks give, told apart by its shape and read as boxes.

Boxes are (n, 4) float32, x and y of the first and of the last edge in pixels of the network's
input, which reach from 0 to its width and height.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float32]
Size: TypeAlias = tuple[int, int]
Found: TypeAlias = tuple[Array, Array, NDArray[np.int64]]
"""Boxes (n, 4), scores (n,), class numbers (n,)."""

STRIDES = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32))
"""The strides of the usual networks, of those for large pictures, of those for small objects."""


@dataclass(frozen=True)
class Head:
    """One family's way to say what it found."""

    family: str
    classes: int | None
    """How many there are; None where the shape does not tell."""
    read: Callable[[Sequence[Any], Size, float], Found]
    """From outputs, the input's (H, W) and a score to what was found with a greater one."""
    final: bool = False
    """Whether overlapping boxes have been suppressed."""


def head_of(
    shapes: Sequence[tuple[int, ...]],
    size: Size,
    end_to_end: bool = False,
    named: int | None = None,
) -> Head | None:
    """The head whose outputs have these shapes for an input of `size` (H, W); None if none has.

    `end_to_end`: the model says that it suppresses overlapping boxes itself. `named`: how many
    classes it says that it has, where each box carries more (masks, key points) after them.
    """
    if len(shapes) == 4 and shapes[0] in ((1, 1), (1,)):
        n = shapes[2][-1] if shapes[2] else 0
        if list(shapes[1:]) == [(1, n, 4), (1, n), (1, n)]:
            return Head("YOLO-NAS with NMS (batch)", None, _batch, final=True)
    if len(shapes) >= 2 and all(len(s) == 3 for s in shapes[:2]):
        (one, n, four), (other, m, classes) = shapes[:2]
        if (one, other, four) == (1, 1, 4) and n == m:
            return Head("YOLO-NAS", classes, _nas)
    if len(shapes) == 1 and len(shapes[0]) == 2 and shapes[0][1] == 7:
        return Head("YOLO-NAS with NMS (flat)", None, _flat, final=True)
    if not shapes or len(shapes[0]) != 3 or shapes[0][0] != 1:
        return None
    _, a, b = shapes[0]
    cells = {_count(size, strides) for strides in STRIDES}
    if end_to_end and b >= 6:
        return Head("end-to-end", None, _end_to_end, final=True)
    if named is not None:
        return Head("Ultralytics", named, _ultralytics(named)) if a >= 4 + named else None
    if b in cells and a > 4:
        return Head("Ultralytics", a - 4, _ultralytics(a - 4))
    if a in cells and b > 5:
        return Head("YOLOX", b - 5, _yolox)
    if a in {3 * n for n in cells} and b > 5:
        return Head("YOLOv5", b - 5, _v5)
    if b == 6:
        return Head("end-to-end", None, _end_to_end, final=True)
    if b > a > 4:  # other strides than the usual
        return Head("Ultralytics", a - 4, _ultralytics(a - 4))
    return None


def suppress(detections: Found, iou: float, most: int, candidates: int = 30_000) -> Found:
    """The best boxes, each class for itself: none overlaps a better one by more than `iou`.

    Greedy non-maximum suppression of the `candidates` best; at most `most` are left, best first.
    """
    import torch
    from torchvision.ops import nms

    boxes, scores, classes = detections
    best = np.argsort(-scores, kind="stable")[:candidates]
    boxes, scores, classes = boxes[best], scores[best], classes[best]
    if not len(best):
        return boxes, scores, classes
    # Classes are moved apart, so that one pass does for all: in double precision, for the shift
    # must not cost digits.
    apart = float(boxes.max() - boxes.min() + 1)
    moved = boxes.astype(np.float64) + classes[:, None] * apart
    kept = nms(torch.from_numpy(moved), torch.from_numpy(scores.astype(np.float64)), iou).numpy()[
        :most
    ]
    return boxes[kept], scores[kept], classes[kept]


def _count(size: Size, strides: Sequence[int]) -> int:
    return sum(-(-size[0] // s) * -(-size[1] // s) for s in strides)


def _grid(size: Size, strides: Sequence[int]) -> tuple[Array, Array]:
    """Column and row (n, 2) of each cell, level by level and row by row, and its stride (n, 1)."""
    cells, steps = [], []
    for stride in strides:
        rows, columns = -(-size[0] // stride), -(-size[1] // stride)
        x, y = np.meshgrid(np.arange(columns), np.arange(rows))
        cells.append(np.stack([x.ravel(), y.ravel()], axis=1))
        steps.append(np.full((rows * columns, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(steps).astype(np.float32)


def _edges(middles: Array, sides: Array) -> Array:
    return np.hstack([middles - sides / 2, middles + sides / 2])


def _best(boxes: Array, scores: Array, least: float) -> Found:
    """Each box (n, 4) with its best class out of `scores` (n, classes)."""
    classes = scores.argmax(axis=1)
    best = scores[np.arange(len(scores)), classes]
    kept = (best > least) & np.isfinite(boxes).all(axis=1)
    return boxes[kept], best[kept], classes[kept]


def _ultralytics(classes: int) -> Callable[[Sequence[Any], Size, float], Found]:
    """(1, 4 + classes + …, n): middle, sides, a score for each class."""

    def read(outputs: Sequence[Any], size: Size, least: float) -> Found:
        table = outputs[0][0]
        class_scores = table[4 : 4 + classes]
        table = table[:, class_scores.max(axis=0) > least].T  # few are: the rest is not looked at
        return _best(_edges(table[:, :2], table[:, 2:4]), table[:, 4 : 4 + classes], least)

    return read


def _yolox(outputs: Sequence[Any], size: Size, least: float) -> Found:
    """(1, n, 5 + classes): place in its cell, logarithm of the sides, objectness, scores.

    Exported with `--decode_in_inference`, places and sides are pixels already. Which it is shows in
    the places: those in a cell are small everywhere, those in pixels grow with the cells.
    """
    table = outputs[0][0]
    strides = next(s for s in STRIDES if _count(size, s) == len(table))
    cells, steps = _grid(size, strides)
    places, sides = table[:, :2], table[:, 2:4]
    if np.median(abs(places - 0.5)) <= np.median(abs(places / steps - cells - 0.5)):
        with np.errstate(over="ignore"):  # an endless side is dropped later
            places, sides = (places + cells) * steps, np.exp(sides) * steps
    return _best(_edges(places, sides), table[:, 4:5] * table[:, 5:], least)


def _v5(outputs: Sequence[Any], size: Size, least: float) -> Found:
    """(1, 3 n, 5 + classes): middle, sides, objectness, a score for each class."""
    table = outputs[0][0]
    table = table[table[:, 4] > least]
    return _best(_edges(table[:, :2], table[:, 2:4]), table[:, 4:5] * table[:, 5:], least)


def _nas(outputs: Sequence[Any], size: Size, least: float) -> Found:
    """(1, n, 4) edges and (1, n, classes) scores; a box counts for each class of enough score."""
    boxes, scores = outputs[0][0], outputs[1][0]
    sound = np.isfinite(boxes).all(axis=1, keepdims=True)
    places, classes = np.nonzero((scores > least) & sound)
    return boxes[places], scores[places, classes], classes


def _end_to_end(outputs: Sequence[Any], size: Size, least: float) -> Found:
    """(1, n, 6 …): edges, score, class; rows that are left over have the score 0."""
    return _rows(outputs[0][0][:, :6], least)


def _batch(outputs: Sequence[Any], size: Size, least: float) -> Found:
    """How many, (1, n, 4) edges, (1, n) scores, (1, n) classes."""
    count = int(np.ravel(outputs[0])[0])
    columns = [outputs[1][0], outputs[2][0][:, None], outputs[3][0][:, None]]
    return _rows(np.hstack([c[:count].astype(np.float32) for c in columns]), least)


def _flat(outputs: Sequence[Any], size: Size, least: float) -> Found:
    """(n, 7): image, edges, score, class."""
    table = outputs[0]
    return _rows(table[table[:, 0] == 0, 1:], least)


def _rows(table: Array, least: float) -> Found:
    kept = table[(table[:, 4] > least) & np.isfinite(table).all(axis=1)]
    return kept[:, :4], kept[:, 4], kept[:, 5].astype(np.int64)
