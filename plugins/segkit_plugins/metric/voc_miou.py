"""Mean intersection over union of the classes over the whole set, as PASCAL VOC measures it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from segkit import BACKGROUND, Counts, Figure, Metric, hookimpl
from segkit_plugins.metric._confusion import OTHER, OfConfusion, Pixels, Totals, totals_of


class VocMeanIoU(OfConfusion):
    """IoU of each class from one confusion matrix over all images, the mean over the classes.

    That is the figure of PASCAL VOC's segmentation challenge (Everingham et al. 2015). Background
    is a class. Classes that neither the truth nor the result of any image shows are left out; one
    that is found and never true counts 0. What is found under an id that the data set does not
    know, or as void, takes pixels from the true class, but is no class of its own. Pixels of all
    images are pooled. (For the mean over images see `miou`.)
    """

    name = "voc-miou"
    concurrent = True
    figures = {"voc-miou": Figure(by_name=True, background=True)}

    def each(self, totals: Totals) -> Pixels:
        """(K,): TP / (TP + FP + FN) of each class."""
        ious: Pixels = totals.right / (totals.true + totals.predicted - totals.right)
        return ious

    def details(self, counts: Counts, classes: Mapping[int, str]) -> Mapping[str, Any]:
        """{'classes': a row for each class, 'confusion': the matrix}, both by class id.

        A row has `id`, `name`, `iou` and `dice` in [0, 1], `pixels` (true ones) and `found`. The
        matrix has `names` (those of its columns) and `pixels`: a row for each class in truth, a
        column for what was found; a last column 'other' if anything was. A 'note' is there where
        the truth has no background.
        """
        totals = totals_of(counts)
        ids, right, true, predicted, _ = totals
        names = [_name(i, classes) for i in ids]
        rows = [
            {
                "id": i,
                "name": name,
                "iou": float(iou),
                "dice": float(2 * r / (t + p)),
                "pixels": int(t),
                "found": int(p),
            }
            for i, name, iou, r, t, p in zip(
                ids, names, self.each(totals), right, true, predicted, strict=True
            )
        ]
        columns: list[int | str] = [
            *ids,
            *([OTHER] if any(key.endswith(OTHER) for key in counts) else []),
        ]
        pixels = [[int(counts.get(f"{i}/{j}", 0)) for j in columns] for i in ids]
        return {
            "classes": rows,
            "confusion": {"names": [*names, *columns[len(ids) :]], "pixels": pixels},
            **super().details(counts, classes),
        }


def _name(i: int, classes: Mapping[int, str]) -> str:
    return "background" if i == BACKGROUND else classes.get(i, f"class {i}")


@hookimpl
def segkit_metrics() -> Sequence[type[Metric]]:
    """Register `voc-miou`."""
    return [VocMeanIoU]
