"""Mean intersection over union of the classes over the whole set, as PASCAL VOC measures it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit import BACKGROUND, VOID, Counts, Figure, Labels, Metric, Scores, Truth, hookimpl
from segkit_plugins.metric._counting import same_size

OTHER = "other"
"""What is found that is no class of the data set; it takes pixels, but is no term of the mean."""


Pixels = NDArray[Any]


class VocMeanIoU(Metric):
    """IoU of each class from one confusion matrix over all images, the mean over the classes.

    That is the figure of PASCAL VOC's segmentation challenge (Everingham et al. 2015). Background
    is a class. Classes that neither the truth nor the result of any image shows are left out; one
    that is found and never true counts 0. What is found under an id that the data set does not
    know, or as void, takes pixels from the true class, but is no class of its own. Pixels of all
    images are pooled. (For the mean over images see `miou`.)
    """

    name = "voc-miou"
    figures = {"voc-miou": Figure(by_name=True)}

    def count(
        self, truth: Truth, labels: Labels, classes: Mapping[int, str] | None = None
    ) -> Counts:
        """{'TRUE/FOUND': pixels}: the cells of the confusion matrix that are not 0, by class id.

        FOUND is 'other' for what is no class of the data set.
        """
        same_size(self.name, labels.ids, truth)
        kept = truth.labels.ids != VOID
        true, predicted = truth.labels.ids[kept], labels.ids[kept]
        trues, ids = _present(true), _present(true, predicted)
        known = {*ids.tolist()} - {VOID}
        if classes:
            known &= {BACKGROUND, *classes, *trues.tolist()}
        place = np.zeros(int(ids.max(initial=0)) + 1, np.int64)
        place[ids] = np.arange(len(ids))
        cells = np.bincount(place[true] * len(ids) + place[predicted], minlength=len(ids) ** 2)
        counts: Counts = {}
        for cell in np.flatnonzero(cells).tolist():
            i, j = int(ids[cell // len(ids)]), int(ids[cell % len(ids)])
            key = f"{i}/{j if j in known else OTHER}"
            counts[key] = counts.get(key, 0) + int(cells[cell])
        return counts

    def score(self, counts: Counts) -> Scores:
        """{'voc-miou': mean over the classes, in [0, 1]}."""
        _, both, true, predicted = _totals(counts)
        union = true + predicted - both
        shown = union > 0
        return {"voc-miou": float((both[shown] / union[shown]).mean())} if shown.any() else {}

    def details(self, counts: Counts, classes: Mapping[int, str]) -> Mapping[str, Any]:
        """{'classes': a row for each class, 'confusion': the matrix}, both by class id.

        A row has `id`, `name`, `iou` and `dice` in [0, 1], `pixels` (true ones) and `found`. The
        matrix has `names` (those of its columns) and `pixels`: a row for each class in truth, a
        column for what was found; a last column 'other' if anything was.
        """
        ids, both, true, predicted = _totals(counts)
        names = [_name(i, classes) for i in ids]
        rows = [
            {
                "id": i,
                "name": name,
                "iou": float(b / (t + f - b)),
                "dice": float(2 * b / (t + f)),
                "pixels": int(t),
                "found": int(f),
            }
            for i, name, b, t, f in zip(ids, names, both, true, predicted, strict=True)
            if t + f
        ]
        columns: list[int | str] = [
            *ids,
            *([OTHER] if any(key.endswith(OTHER) for key in counts) else []),
        ]
        pixels = [[int(counts.get(f"{i}/{j}", 0)) for j in columns] for i in ids]
        return {
            "classes": rows,
            "confusion": {"names": [*names, *columns[len(ids) :]], "pixels": pixels},
        }


def _present(*arrays: NDArray[np.int32]) -> NDArray[np.intp]:
    """The ids that occur in any of the flat arrays, in order."""
    most = max(int(array.max(initial=0)) for array in arrays) + 1
    return np.flatnonzero(sum(np.bincount(array, minlength=most) for array in arrays))


def _name(i: int, classes: Mapping[int, str]) -> str:
    return "background" if i == BACKGROUND else classes.get(i, f"class {i}")


def _totals(counts: Counts) -> tuple[tuple[int, ...], Pixels, Pixels, Pixels]:
    """The class ids, and of each the pixels that are right, that are true and that are found."""
    ids, rows, columns = _cells(tuple(counts))
    n = len(ids)
    pixels = np.fromiter(counts.values(), np.float64, len(counts))
    right = rows == columns
    both: Pixels = np.bincount(rows[right], pixels[right], n)
    true: Pixels = np.bincount(rows, pixels, n)
    predicted: Pixels = np.bincount(columns, pixels, n + 1)[:n]  # the last place is 'other'
    return ids, both, true, predicted


@lru_cache(maxsize=16)
def _cells(keys: tuple[str, ...]) -> tuple[tuple[int, ...], NDArray[np.intp], NDArray[np.intp]]:
    """The class ids in order, and row and column of each key; 'other' is the column behind them.

    Kept, for the intervals of a comparison ask thousands of times for the same keys.
    """
    cells = [key.split("/") for key in keys]
    ids = sorted({int(i) for cell in cells for i in cell if i != OTHER})
    place = {str(i): k for k, i in enumerate(ids)} | {OTHER: len(ids)}
    rows = np.array([place[true] for true, _ in cells], np.intp)
    columns = np.array([place[predicted] for _, predicted in cells], np.intp)
    return tuple(ids), rows, columns


@hookimpl
def segkit_metrics() -> Sequence[type[Metric]]:
    """Register `voc-miou`."""
    return [VocMeanIoU]
