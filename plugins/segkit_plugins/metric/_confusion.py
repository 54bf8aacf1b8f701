"""One confusion matrix over all images, and what the metrics that are made of it share."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segkit import BACKGROUND, VOID, Counts, Labels, Metric, PluginError, Scores, Truth
from segkit_plugins.metric._counting import NO_BACKGROUND, same_size

OTHER = "other"
"""What is found that is no class of the data set; it takes pixels, but is no term of a mean."""

Pixels = NDArray[Any]
"""(K,) float64: pixels, or a figure, of each class."""


class Totals(NamedTuple):
    """Of the classes that the truth or the result of any image shows, in order of their ids."""

    ids: tuple[int, ...]
    right: Pixels
    """True and found: TP."""
    true: Pixels
    """TP + FN."""
    predicted: Pixels
    """TP + FP."""
    pixels: float
    """All pixels that are not void: TP + TN + FP + FN of any class."""


class OfConfusion(Metric):
    """The mean over the classes of a figure of each, from one confusion matrix over all images.

    Background is a class. Classes that neither the truth nor the result of any image shows are left
    out. What is found under an id that the data set does not know, or as void, takes pixels from
    the true class, but is no class of its own. Pixels of all images are pooled, void ones left out.
    """

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

    def each(self, totals: Totals) -> Pixels:
        """(K,): each class's figure, in [0, 1]."""
        # Each metric overrides this; said as the kinds' own missing parts are.
        raise PluginError(f"{type(self).__name__} should define 'each', but does not")

    def score(self, counts: Counts) -> Scores:
        """{NAME: mean over the classes, in [0, 1]}."""
        totals = totals_of(counts)
        return {self.name: float(self.each(totals).mean())} if totals.ids else {}

    def details(self, counts: Counts, classes: Mapping[int, str]) -> Mapping[str, Any]:
        """{'note': a sentence} where the truth has no background."""
        totals = totals_of(counts)
        background = dict(zip(totals.ids, totals.true.tolist(), strict=True)).get(BACKGROUND)
        return {"note": NO_BACKGROUND} if totals.ids and not background else {}


def _present(*arrays: NDArray[np.int32]) -> NDArray[np.intp]:
    """The ids that occur in any of the flat arrays, in order."""
    most = max(int(array.max(initial=0)) for array in arrays) + 1
    return np.flatnonzero(sum(np.bincount(array, minlength=most) for array in arrays))


def totals_of(counts: Counts) -> Totals:
    """What the matrix's cells, {'TRUE/FOUND': pixels}, add up to."""
    ids, rows, columns = _cells(tuple(counts))
    n = len(ids)
    pixels = np.fromiter(counts.values(), np.float64, len(counts))
    diagonal = rows == columns
    right = np.bincount(rows[diagonal], pixels[diagonal], n)
    true = np.bincount(rows, pixels, n)
    predicted = np.bincount(columns, pixels, n + 1)[:n]  # the last place is 'other'
    shown = true + predicted > 0
    kept = tuple(i for i, there in zip(ids, shown.tolist(), strict=True) if there)
    return Totals(kept, right[shown], true[shown], predicted[shown], float(pixels.sum()))


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
