"""Paint the masks one over the other, each in its own class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segkit import Fuser, Masks, Prompts, hookimpl
from segkit_plugins.fuser._painting import Painting, same_objects


class Paint(Painting):
    """A class map with the masks painted one over the other, the likelier ones on top.

    How likely a mask is: its own score times its prompt's, that is, the quality which the segmenter
    expects times the probability of the class. Where all are alike, later masks lie on top. Of
    masks that show one object, the likeliest stays.

    A mask's class is its own name, else its prompt's, else 'object'. Names get the data set's ids;
    a name that it lacks gets the next free id, so without a data set of classes ids differ from
    image to image (results.jsonl has the names). Where the data set knows one class, 'object', all
    masks are that. A mask called 'background', such as the answer to a click on it, is not painted.
    Where a segmenter made a class map, the masks are painted over it, and its classes are
    renumbered by name in the same way (a class of the map without a name keeps its id, and is
    called 'class 7' if the data set has no name for it).

    With `--paint.table` masks and map are painted under their own names, and renamed after it: a
    mask whose name the table lacks still covers what lies under it, and becomes background. Masks
    without a name stay 'object'.
    """

    name = "paint"
    concurrent = True

    overlap: Literal["score", "order"] = "score"
    """Which mask gets a pixel that several cover. score: the likelier one. order: the later one."""

    duplicates: float = Field(0.7, gt=0, le=1)
    """Masks with at least this IoU show one object, whatever their classes; the likeliest stays,
    also for metrics and files. 1: only masks that are equal."""

    parts: float | None = Field(None, gt=0, le=1)
    """A mask of which at least this share lies in a likelier one is a part of that object, whatever
    the classes, and is left out like a duplicate. Left out, parts stay."""

    def merge(self, masks: Masks, prompts: Prompts | None = None) -> Masks:
        """The masks without duplicates and parts, in their order."""
        kept: list[int] = []
        for i in np.argsort(-_likelihoods(masks, prompts), kind="stable").tolist():
            likelier = same_objects(masks.packed, i, kept, self.duplicates, self.parts)
            if next(likelier, None) is None:
                kept.append(i)
        return masks if len(kept) == len(masks) else masks.take(sorted(kept))

    def _order(self, masks: Masks, prompts: Prompts | None) -> NDArray[np.intp]:
        if self.overlap == "order":
            return np.arange(len(masks))
        return np.argsort(_likelihoods(masks, prompts), kind="stable")


def _likelihoods(masks: Masks, prompts: Prompts | None) -> NDArray[np.float64]:
    """(n,): each mask's score times its prompt's."""
    scores = masks.scores.astype(np.float64)
    asked = [prompt.score for prompt in prompts or ()]
    if asked and len(masks) and masks.prompt.max() < len(asked):
        scores *= np.array(asked)[masks.prompt]
    return scores


@hookimpl
def segkit_fusers() -> Sequence[type[Fuser]]:
    """Register `paint`."""
    return [Paint]
