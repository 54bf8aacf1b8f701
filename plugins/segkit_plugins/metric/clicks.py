"""How well the answer to each click is what lies under it: an object, or the background."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segkit import BACKGROUND, VOID, Counts, Figure, Masks, Metric, Prompts, Scores, Truth, hookimpl
from segkit_plugins.metric._counting import means, pixels_at


class Clicks(Metric):
    """Each click's answer against what lies under the click, the mean over all clicks.

    A prompt counts for its first foreground point; what lies under that is an object (an instance
    of the truth, or without instances all pixels of its class) or the background. `clicks-iou`,
    `clicks-dice` and `clicks-accuracy` compare the prompt's mask, of several the one with the best
    score, with that region: intersection over union, Dice, share of pixels that both agree about.
    `clicks-own` is the share of clicks on objects whose answer overlaps that object more than any
    other (by IoU). A prompt without a mask is answered by nothing. Void pixels are left out, and so
    are clicks on them and prompts without a foreground point.
    """

    name = "clicks"
    concurrent = True
    joins = False
    figures = {
        "clicks-iou": Figure(),
        "clicks-dice": Figure(),
        "clicks-accuracy": Figure(),
        "clicks-own": Figure(),
    }

    def count(self, prompts: Prompts, masks: Masks, truth: Truth) -> Counts:
        """Each figure added over the clicks, 'clicks': how many, 'objects': those on objects."""
        ids = truth.labels.ids
        kept = ids != VOID
        numbers = ids if truth.instances is None else truth.instances
        numbers = np.where(ids == BACKGROUND, BACKGROUND, numbers)
        objects = np.setdiff1d(numbers[kept], (BACKGROUND, VOID))
        counts: Counts = dict.fromkeys((*self.figures, "clicks", "objects"), 0)
        for place, prompt in enumerate(prompts):
            points = prompt.points[prompt.signs]
            if not len(points):
                continue
            row, column = pixels_at(points[:1], (ids.shape[0], ids.shape[1]))
            under = int(numbers[row, column][0])
            if not kept[row, column][0] or under == VOID:
                continue
            answer = best_mask(masks, place)[kept]
            wanted = numbers[kept] == under
            both, either = int((answer & wanted).sum()), int((answer | wanted).sum())
            counts["clicks"] += 1
            counts["clicks-iou"] += both / either
            counts["clicks-dice"] += 2 * both / (both + either)
            counts["clicks-accuracy"] += float((answer == wanted).mean())
            if under != BACKGROUND:
                counts["objects"] += 1
                others = [iou(answer, numbers[kept] == i) for i in objects if i != under]
                counts["clicks-own"] += bool(both and both / either >= max(others, default=0))
        return counts

    def score(self, counts: Counts) -> Scores:
        """{'clicks-iou', 'clicks-dice', 'clicks-accuracy', 'clicks-own'}, in [0, 1]."""
        whole = [name for name in self.figures if name != "clicks-own"]
        return {**means(counts, whole, "clicks"), **means(counts, ["clicks-own"], "objects")}


def best_mask(masks: Masks, prompt: int) -> NDArray[np.bool_]:
    """(H, W): a prompt's mask, of several the one with the best score; empty where it has none."""
    own = np.flatnonzero(masks.prompt == prompt)
    if not len(own):
        return np.zeros(masks.size, bool)
    return masks.at(int(own[masks.scores[own].argmax()]))


def iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Intersection over union of two masks, one of which is not empty."""
    return float((one & other).sum() / (one | other).sum())


@hookimpl
def segkit_metrics() -> Sequence[type[Metric]]:
    """Register `clicks`."""
    return [Clicks]
