"""Mean average precision of the objects, as COCO measures it, by pycocotools."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit import (
    Counts,
    Figure,
    Masks,
    Metric,
    MissingExtraError,
    Prompts,
    Scores,
    Truth,
    hookimpl,
)
from segkit_plugins.metric._counting import same_size
from segkit_plugins.metric._instances import class_of, counted_masks, objects_of

LEVELS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""The IoUs that a match has at least: COCO's ten."""

RECALLS = np.linspace(0, 1, 101)
"""Where precision is read off."""

MOST = 100
"""So many masks of a class in one image count, the surest."""

FIGURES = {"map": slice(None), "map-50": slice(0, 1), "map-75": slice(5, 6)}
"""Each figure with the levels that it is the mean of."""


class MeanAveragePrecision(Metric):
    """Area under precision over recall, the mean over classes: how well masks and their order are.

    Masks come in the order of their score times their prompt's, over all images, and each matches
    the true object of its class with the largest IoU that no surer mask has. `map` is the mean over
    the IoUs 0.5, 0.55 … 0.95 (COCO's AP), `map-50` and `map-75` are at 0.5 and 0.75. Precision is
    read off at 101 recalls, as COCO does (Lin et al. 2014); the matches are pycocotools'. Void
    is left out of all masks, and a mask that lies in it by more than half, such as one in a crowd,
    counts for nothing. Classes without a true object are left out, and so are images whose truth
    has no instances. It takes part only when chosen, for its interval takes seconds.
    """

    name = "map"
    concurrent = True
    joins = False
    figures = dict.fromkeys(FIGURES, Figure(by_name=True, background=False))

    by_class: bool = True
    """Whether a match must have the object's class; else all objects are of one class."""

    def open(self, device: str) -> None:
        """Check that pycocotools is there. Raises `MissingExtraError` where it is not."""
        _pycocotools()

    def count(
        self,
        truth: Truth,
        masks: Masks,
        prompts: Prompts | None = None,
        classes: Mapping[int, str] | None = None,
    ) -> Counts:
        """How often there is each key: 'object:CLASS', and of masks 'mask:SCORE:LEVELS:CLASS'.

        LEVELS has a 1 for each of the ten IoUs at which the mask matches, else a 0. Nothing is
        counted without instances.
        """
        if truth.instances is None:
            return {}
        same_size(self.name, masks.at(0) if len(masks) else truth.labels.ids, truth)
        objects, kept = objects_of(truth)
        names = classes or truth.labels.classes
        own = [self._class(names.get(class_of(truth, mask))) for mask in objects]
        counts: Counts = {}
        for name in own:
            counts[f"object:{name}"] = counts.get(f"object:{name}", 0) + 1
        counted = counted_masks(masks, kept)
        sure = masks.scores.astype(np.float64)
        for i in counted if prompts else ():
            sure[i] *= prompts[int(masks.prompt[i])].score  # type: ignore[index]
        named = {i: self._class(masks.names[i]) for i in counted}
        for name in dict.fromkeys(named.values()):
            asked = [i for i in counted if named[i] == name]
            true = objects[[i for i, known in enumerate(own) if known == name]]
            asked_masks = (masks.at(i) & kept for i in asked)
            for score, levels in _matched(asked_masks, sure[asked], true):
                key = f"mask:{score:.6f}:{levels}:{name}"
                counts[key] = counts.get(key, 0) + 1
        return counts

    def _class(self, name: str | None) -> str:
        return (name or "") if self.by_class else ""

    def score(self, counts: Counts) -> Scores:
        """{'map', 'map-50', 'map-75': in [0, 1]}; none of them without a true object."""
        precisions = []
        for name, order, hits in _curves(tuple(counts)):
            total = counts[f"object:{name}"]
            if total:
                times = np.array([counts[key] for key in order])
                precisions.append(_average_precision(times, hits, total))
        if not precisions:
            return {}
        by_level = np.mean(precisions, axis=0)
        return {figure: float(by_level[levels].mean()) for figure, levels in FIGURES.items()}


@lru_cache(maxsize=8)
def _curves(keys: tuple[str, ...]) -> list[tuple[str, tuple[str, ...], NDArray[np.bool_]]]:
    """Each class with an object: its masks' keys, the surest first, and (levels, n) their hits.

    The same keys come again for every draw of an interval.
    """
    parts = [(key, *key.split(":", 3)[1:]) for key in keys if key.startswith("mask:")]
    curves = []
    for name in (key.partition(":")[2] for key in keys if key.startswith("object:")):
        own = sorted((p for p in parts if p[3] == name), key=lambda p: -float(p[1]))
        hits = np.array([[digit == "1" for digit in p[2]] for p in own], bool)
        curves.append((name, tuple(p[0] for p in own), hits.reshape(len(own), len(LEVELS)).T))
    return curves


def _average_precision(
    times: NDArray[np.float64], hits: NDArray[np.bool_], total: float
) -> NDArray[np.float64]:
    """(levels,): the mean precision at `RECALLS` of masks that come `times` (n,) often each."""
    if not len(times):
        return np.zeros(len(LEVELS))
    right = np.cumsum(times * hits, axis=1)
    precision = right / np.maximum(np.cumsum(times), np.finfo(float).eps)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    best = np.concatenate(
        [best, np.zeros((len(LEVELS), 1))], axis=1
    )  # recalls that are not reached
    places = [np.searchsorted(recall, RECALLS) for recall in right / total]
    return np.array([row[place].mean() for row, place in zip(best, places, strict=True)])


def _matched(
    masks: Iterable[NDArray[np.bool_]], scores: NDArray[np.float64], objects: NDArray[np.bool_]
) -> list[tuple[float, str]]:
    """Score and matched levels of n masks (H, W) of a class, the surest first, by pycocotools."""
    mask_api, evaluation = _pycocotools()
    found = [
        _annotation(mask_api, m) | {"score": float(s)} for m, s in zip(masks, scores, strict=True)
    ]
    true = [_annotation(mask_api, mask) | {"ignore": 0} for mask in objects]
    for number, annotation in enumerate([*found, *true], 1):
        annotation["id"] = number
    judge = evaluation.COCOeval(iouType="segm")
    judge.params.iouThrs = np.array(LEVELS)
    judge.params.maxDets = [MOST]
    judge._gts, judge._dts = {(1, 1): true}, {(1, 1): found}
    judge.ious = {(1, 1): judge.computeIoU(1, 1)}
    result = judge.evaluateImg(1, 1, [0, np.inf], MOST)
    matches = (np.asarray(result["dtMatches"]) > 0).T
    levels = ["".join("01"[int(hit)] for hit in row) for row in matches]
    return [*zip(result["dtScores"], levels, strict=True)]


def _annotation(mask_api: Any, mask: NDArray[np.bool_]) -> dict[str, Any]:
    """A mask (H, W) as pycocotools takes it."""
    runs = mask_api.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"segmentation": runs, "area": float(mask.sum()), "iscrowd": 0}


def _pycocotools() -> tuple[Any, Any]:
    """Its modules `mask` and `cocoeval`. Raises `MissingExtraError` where it is not installed."""
    try:
        from pycocotools import cocoeval, mask
    except ImportError:
        raise MissingExtraError("--metric map", "pycocotools", "coco") from None
    return mask, cocoeval


@hookimpl
def segkit_metrics() -> Sequence[type[Metric]]:
    """Register `map`."""
    return [MeanAveragePrecision]
