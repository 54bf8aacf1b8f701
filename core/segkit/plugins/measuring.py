"""A metric called on truth and prediction, outside of a run: values gathered, counted, scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segkit.errors import BadValueError, UsageError
from segkit.kinds import OBJECT
from segkit.plugins.contract import blamed, check_output, scores_of
from segkit.plugins.steps import Metric
from segkit.values.classes import BACKGROUND, VOID, add_class
from segkit.values.heatmaps import union
from segkit.values.showing import counted
from segkit.values.types import (
    Counts,
    Heatmap,
    Image,
    Labels,
    Mask,
    Masks,
    Prompt,
    Prompts,
    Scores,
    Truth,
)

PREDICTED = ("image", "heatmaps", "prompts", "masks", "labels")
"""What a result may hold that metrics ask for."""


def measure(
    metric: Metric,
    truth: Any,
    prediction: Any,
    *,
    image: Image | None = None,
    classes: Mapping[int, str] | None = None,
) -> Scores:
    """The figures of one image, or of lists of truths and predictions; see `Metric.__call__`."""
    truths, predictions = [truth], [prediction]
    if isinstance(truth, (list, tuple)):
        if not isinstance(prediction, (list, tuple)) or len(prediction) != len(truth):
            number = len(prediction) if isinstance(prediction, (list, tuple)) else None
            found = "one that is in no list" if number is None else f"a list of {number}"
            raise UsageError(
                f"{metric.name} was given a list of {counted(len(truth), 'truth')}, but of "
                f"predictions {found}; give one for each image"
            )
        truths, predictions = list(truth), list(prediction)
    if image is not None and len(truths) > 1:
        raise UsageError("there are several images; leave out image, and give results that have it")
    counts: Counter[str] = Counter()
    metric.open("cpu")
    try:
        for true, predicted in zip(truths, predictions, strict=True):
            counts.update(_counted(metric, truth_of(true), predicted, image, classes))
        return scores_of(metric, counts) if counts else {}
    finally:
        metric.close()


def _counted(
    metric: Metric,
    truth: Truth,
    prediction: Any,
    image: Image | None,
    classes: Mapping[int, str] | None,
) -> Counts:
    """The counts of one image."""
    there = predicted_values(prediction)
    there |= {"truth": truth, "classes": dict(classes or truth.labels.classes)}
    if image is not None:
        there["image"] = image
    found = there.get("labels")
    if found is not None and found.classes and there["classes"]:
        there["labels"] = renumbered(found, there["classes"])
    inputs = type(metric).inputs()
    for name in inputs.required:
        if name not in there:
            raise UsageError(
                f"{metric.name} needs '{name}', which the prediction has not; give what a pipeline "
                "made, a Result"
            )
    given = {name: there[name] for name in inputs.all if name in there}
    with blamed(metric):
        counts: Counts = check_output(metric, getattr(metric, metric.work)(**given), given)
    return counts


def truth_of(value: Any) -> Truth:
    """A truth as it is, or of a class map: `Labels`, or (H, W) class ids or bool.

    Raises `BadValueError` for other arrays.
    """
    if isinstance(value, Truth):
        return value
    return Truth(value if isinstance(value, Labels) else Labels(_ids(value, "the truth")))


def predicted_values(prediction: Any) -> dict[str, Any]:
    """The inputs of metrics that a prediction holds, by name.

    It is a result (anything with `masks`, `labels` …), one of the values that steps make, or an
    array: (H, W) class ids or bool, or (n, H, W) bool. Raises `BadValueError` for other arrays.
    """
    if isinstance(prediction, Prompt):
        prediction = Prompts((prediction,))
    if isinstance(prediction, Mask):
        only = prediction
        prediction = Masks(only.pixels[None], [only.score], [0], (only.name,))
    if isinstance(prediction, Heatmap):
        prediction = (prediction,)
    if isinstance(prediction, (Labels, Masks, Prompts)):
        return {type(prediction).__name__.lower(): prediction}
    if isinstance(prediction, Sequence) and all(isinstance(h, Heatmap) for h in prediction):
        return {"heatmaps": tuple(prediction), "heatmap": union(tuple(prediction))}
    if any(hasattr(prediction, name) for name in ("masks", "labels")):
        values = {name: getattr(prediction, name, None) for name in PREDICTED}
        values = {name: value for name, value in values.items() if value is not None}
        heatmaps = values.pop("heatmaps", ())
        return values | (predicted_values(heatmaps) if heatmaps else {})
    array = np.asarray(prediction)
    if array.dtype != np.bool_:
        return {"labels": Labels(_ids(array, "the prediction"))}
    several = array if array.ndim == 3 else array[None]
    n = len(several)
    masks = Masks(several, np.ones(n, np.float32), np.arange(n))
    return {"masks": masks} | ({} if array.ndim == 3 else {"labels": Labels(_ids(array, ""))})


def _ids(value: Any, whose: str) -> Any:
    """(H, W) class ids of whole numbers or bool."""
    array = np.asarray(value)
    if array.dtype.kind not in "biu" or array.ndim != 2:
        raise BadValueError(
            f"{whose} should be class ids or bool of shape (H, W), but is {array.dtype} of shape "
            f"{array.shape}"
        )
    return array.astype(np.int32)


def renumbered(labels: Labels, classes: Mapping[int, str]) -> Labels:
    """A class map that a run has kept under the ids of these classes, by name.

    A name that they lack gets the next free id. Where they are one class, 'object', all is that.
    """
    found = labels.ids
    if {*classes.values()} == {OBJECT}:
        (only,) = classes
        ids = np.where((found == BACKGROUND) | (found == VOID), found, np.int32(only))
        return Labels(ids.astype(np.int32), classes)
    names, ids = dict(classes), found.copy()
    for own, name in labels.classes.items():
        ids[found == own] = add_class(name, names)
    return Labels(ids, names)
