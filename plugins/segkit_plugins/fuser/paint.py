"""Paint the masks one over the other, each in its own class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segkit import BACKGROUND, VOID, Fuser, Image, Labels, Masks, Prompts, hookimpl, id_of
from segkit_plugins.shared.name_tables import BACKGROUND_NAME, NameTable, load_table
from segkit_plugins.shared.object_names import NAMELESS, object_names, only_objects
from segkit_plugins.shared.renaming import renamed_map


class Paint(Fuser):
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

    overlap: Literal["score", "order"] = "score"
    """Which mask gets a pixel that several cover. score: the likelier one. order: the later one."""

    duplicates: float = Field(0.7, gt=0, le=1)
    """Masks with at least this IoU show one object, whatever their classes; the likeliest stays,
    also for metrics and files. 1: only masks that are equal."""

    parts: float | None = Field(None, gt=0, le=1)
    """A mask of which at least this share lies in a likelier one is a part of that object, whatever
    the classes, and is left out like a duplicate. Left out, parts stay."""

    table: str | None = None
    """Renames the classes after painting to those of the data set, and makes background of the
    others: ade20k-voc, coco-voc, or a file with a line 'source,target' for each."""

    def open(self, device: str) -> None:
        """Read the table, so that errors in it come first."""
        _ = self._renamed

    def merge(self, masks: Masks, prompts: Prompts | None = None) -> Masks:
        """The masks without duplicates and parts, in their order."""
        kept: list[int] = []
        areas = masks.masks.sum(axis=(1, 2))
        for i in np.argsort(-_likelihoods(masks, prompts), kind="stable").tolist():
            if not any(self._same(masks.masks, areas, i, j) for j in kept):
                kept.append(i)
        return masks if len(kept) == len(masks) else masks.take(sorted(kept))

    def _same(self, masks: NDArray[np.bool_], areas: NDArray[np.intp], i: int, j: int) -> bool:
        """Whether a mask shows the object of a likelier one, `j`; none does without a pixel."""
        own, likelier = int(areas[i]), int(areas[j])
        small, large = min(own, likelier), max(own, likelier)
        # The IoU is at most the ratio of the areas, so most pairs need no look at pixels.
        maybe_part = self.parts is not None and likelier >= self.parts * own
        if not small or not (maybe_part or small >= self.duplicates * large):
            return False
        both = int(np.count_nonzero(masks[i] & masks[j]))
        is_part = self.parts is not None and both >= self.parts * own
        return is_part or both >= self.duplicates * (small + large - both)

    def __call__(
        self,
        image: Image,
        masks: Masks | None = None,
        prompts: Prompts | None = None,
        labels: Labels | None = None,
        classes: Mapping[int, str] | None = None,
    ) -> Labels:
        """The class map (H, W) with the classes of the data set, the class map and the masks."""
        if self._renamed is None:
            return self._painted(image, masks, prompts, labels, classes)
        table = {NAMELESS: NAMELESS, **self._renamed}
        if only_objects(classes):
            table = dict.fromkeys(table, NAMELESS)
        own = self._painted(image, masks, prompts, labels, None)
        return renamed_map(own, NameTable(table), classes)

    @cached_property
    def _renamed(self) -> Mapping[str, str] | None:
        return None if self.table is None else load_table(self.table)

    def _painted(
        self,
        image: Image,
        masks: Masks | None,
        prompts: Prompts | None,
        labels: Labels | None,
        classes: Mapping[int, str] | None,
    ) -> Labels:
        """The masks over the class map, under the ids of `classes` and the next free ones."""
        names = dict(classes or {})
        ids = np.zeros(image.size, np.int32)
        if labels is not None:
            for i in np.unique(labels.ids).tolist():
                if i not in (BACKGROUND, VOID) and i not in labels.classes:
                    names.setdefault(i, f"class {i}")
            ids[:] = labels.ids
            for i, name in labels.classes.items():
                ids[labels.ids == i] = id_of(name, names)
        if masks is not None:
            asked = object_names(masks, prompts, classes)
            seen = [i for i, name in enumerate(asked) if name != BACKGROUND_NAME]
            numbers = {i: id_of(asked[i] or NAMELESS, names) for i in seen}
            order = np.arange(len(masks))
            if self.overlap == "score":
                order = np.argsort(_likelihoods(masks, prompts), kind="stable")
            for i in order.tolist():
                if i in numbers:
                    ids[masks.masks[i]] = numbers[i]
        return Labels(ids, names)


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
