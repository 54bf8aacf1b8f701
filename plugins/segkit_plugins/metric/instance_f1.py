"""F1 score of the objects, masks matched with true ones at an IoU of one half; and duplicates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segkit import Counts, Figure, Masks, Metric, Scores, Truth, hookimpl
from segkit_plugins.metric._counting import same_size
from segkit_plugins.metric._instances import class_of, counted_masks, objects_of


class InstanceF1(Metric):
    """2 · matched / (masks + true objects), over all images together.

    A mask matches a true object if their IoU is at least one half; each matches one at most, so a
    duplicate counts as wrong, and the matches are those of the largest sum of IoUs. Void is left
    out of all masks, and a mask that lies in it by more than half, such as one in a crowd, counts
    for nothing. Images whose truth has no instances are left out. That is the F1 score of detection
    at IoU 0.5 (as in Kirillov et al. 2019, panoptic quality's recognition quality, but with masks
    that may overlap). `instance-duplicates` is the share of the masks that would match an object
    which another mask has.
    """

    name = "instance-f1"
    concurrent = True
    figures = {"instance-f1": Figure(), "instance-duplicates": Figure(lower_is_better=True)}

    least: float = Field(0.5, gt=0, le=1)
    """The least IoU of a match."""

    by_class: bool = False
    """Whether a match must have the object's class, too; the truth's and the mask's name alike."""

    def count(self, truth: Truth, masks: Masks, classes: Mapping[int, str] | None = None) -> Counts:
        """{'matched', 'duplicates', 'masks', 'objects': numbers}; nothing without instances."""
        if truth.instances is None:
            return {}
        same_size(self.name, masks.at(0) if len(masks) else truth.labels.ids, truth)
        objects, kept = objects_of(truth)
        counted = counted_masks(masks, kept)
        if not len(objects) or not counted:
            counts = {"matched": 0, "duplicates": 0, "masks": len(counted)}
            return {**counts, "objects": len(objects)}
        found = ((masks.at(i) & kept).ravel() for i in counted)
        overlaps = _ious(found, objects.reshape(len(objects), -1))
        if self.by_class:
            names = classes or truth.labels.classes
            own = [names.get(class_of(truth, mask)) for mask in objects]
            named = [masks.names[i] for i in counted]
            overlaps *= np.array([[n is not None and n == o for o in own] for n in named])
        matched = _matches(overlaps, self.least)
        return {
            "matched": matched,
            "duplicates": int((overlaps >= self.least).any(axis=1).sum()) - matched,
            "masks": len(counted),
            "objects": len(objects),
        }

    def score(self, counts: Counts) -> Scores:
        """{'instance-f1', 'instance-duplicates': in [0, 1]}; 1 and 0 without object and mask."""
        if not counts:
            return {}
        whole = counts["masks"] + counts["objects"]
        return {
            "instance-f1": 2 * counts["matched"] / whole if whole else 1.0,
            "instance-duplicates": counts["duplicates"] / max(counts["masks"], 1),
        }


def _ious(found: Iterable[NDArray[np.bool_]], objects: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n, m): the IoU of each of n masks (pixels,) with each of (m, pixels) objects."""
    true = objects.sum(axis=1)
    rows = []
    for mask in found:
        both = objects[:, mask].sum(axis=1)
        union = mask.sum() + true - both
        rows.append(both / np.maximum(union, 1))
    return np.stack(rows)


def _matches(overlaps: NDArray[np.float64], least: float) -> int:
    """How many pairs there are, each mask and each object in one at most."""
    from scipy.optimize import linear_sum_assignment

    allowed = np.where(overlaps >= least, overlaps, 0.0)
    rows, columns = linear_sum_assignment(-allowed)
    return int(np.count_nonzero(allowed[rows, columns]))


@hookimpl
def segkit_metrics() -> Sequence[type[Metric]]:
    """Register `instance-f1`."""
    return [InstanceF1]
