"""Predictions compared with truth: pixels and points, as the metrics count them.

Pixels whose truth is void (255) are left out of everything here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segkit import BACKGROUND, VOID, BadValueError, Counts, Labels, Masks, Scores, Truth


class Overlap(NamedTuple):
    """Pixels of an image that is compared with its truth."""

    right: int
    """In both, and where classes count of the right class in both."""
    both: int
    """In both, of whatever class."""
    predicted: int
    true: int

    @property
    def union(self) -> int:
        """In either."""
        return self.predicted + self.true - self.both


NO_BACKGROUND = (
    "no pixel of the data set's truth is background (class id 0), so every point on it hits and "
    "background is no class of the means; check the ids of its masks"
)
"""What metrics note of such a data set: mostly its masks count their classes from another id."""


def share(part: float, whole: float) -> float:
    """`part` / `whole`, and 1 where there is nothing to be found and nothing was."""
    return part / whole if whole else 1


def foreground(
    metric: str, labels: Labels | None, masks: Masks | None, truth: Truth
) -> NDArray[np.bool_]:
    """(H, W) bool: the prediction, of whatever class: labels > 0, or else the union of all masks.

    Raises `BadValueError` if there are neither labels nor masks, or of another size than truth.
    """
    if labels is not None:
        predicted = labels.ids != BACKGROUND
    elif masks is not None:
        predicted = masks.covered()
    else:
        raise BadValueError(
            f"{metric} needs 'labels' or 'masks', and nothing before it makes one; add --segmenter"
        )
    same_size(metric, predicted, truth)
    return predicted


def same_size(metric: str, values: NDArray[np.generic], truth: Truth) -> None:
    """Refuse to compare (H, W) values with a truth of another size."""
    if values.shape != truth.labels.ids.shape:
        raise BadValueError(
            f"{metric} compares pixels of one size, but the result is {values.shape} and the "
            f"truth {truth.labels.ids.shape}; the data set should give truth of its image's size"
        )


def overlap(predicted: NDArray[np.bool_], truth: Truth) -> Overlap | None:
    """How a predicted foreground (H, W) overlaps the true one; None if every pixel is void."""
    ids = truth.labels.ids
    kept = ids != VOID
    if not kept.any():
        return None
    true = (ids != BACKGROUND) & kept
    both = int(np.count_nonzero(predicted & true))
    return Overlap(both, both, int(np.count_nonzero(predicted & kept)), int(np.count_nonzero(true)))


def class_overlap(metric: str, labels: Labels, truth: Truth) -> Overlap | None:
    """How a class map overlaps the true one; background is no class. None if every pixel is void.

    Raises `BadValueError` if labels and truth differ in size.
    """
    same_size(metric, labels.ids, truth)
    foregrounds = overlap(labels.ids != BACKGROUND, truth)
    if foregrounds is None:
        return None
    ids = truth.labels.ids
    right = (labels.ids == ids) & (ids != BACKGROUND) & (ids != VOID)
    return foregrounds._replace(right=int(np.count_nonzero(right)))


def objects(truth: Truth) -> NDArray[np.bool_]:
    """(H, W) bool: the true foreground, of whatever class; void is none of it."""
    ids = truth.labels.ids
    return (ids != BACKGROUND) & (ids != VOID)


def region(truth: Truth, name: str | None, classes: Mapping[int, str] | None) -> NDArray[np.bool_]:
    """(H, W) bool: the region of the class that a heatmap or prompt is named after.

    That is the class's own if the data set knows its name (`classes`; without it, the truth's own),
    else any foreground. The region is empty where that class is not in the image.
    """
    for i, known in (classes or truth.labels.classes).items():
        if known == name:
            mask: NDArray[np.bool_] = truth.labels.ids == i
            return mask
    return objects(truth)


def pixels_at(points: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.intp]:
    """(2, n) int: row and column of the pixel in which each of (n, 2) points x, y lies."""
    x_y = np.floor(points.astype(np.float64) + 0.5).astype(np.intp)
    height, width = size
    return np.stack([x_y[:, 1].clip(0, height - 1), x_y[:, 0].clip(0, width - 1)])


def means(counts: Counts, keys: Iterable[str], per: str) -> Scores:
    """{key: added value over the added count `per`}; empty if nothing was counted."""
    n = counts.get(per, 0)
    return {key: counts[key] / n for key in keys} if n else {}
