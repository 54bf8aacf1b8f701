"""What fusers share that paint masks into a class map, each mask in its own class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from segkit import (
    BACKGROUND,
    VOID,
    Fuser,
    Image,
    Labels,
    Masks,
    PackedMasks,
    Prompts,
    add_class,
)
from segkit_plugins.shared.name_tables import BACKGROUND_NAME, NameTable, load_table
from segkit_plugins.shared.object_names import NAMELESS, object_names, only_objects
from segkit_plugins.shared.renaming import renamed_map


class Painting(Fuser):
    """Paints masks one over the other under the data set's ids; `_order` says which lie on top."""

    table: str | None = None
    """Renames the classes after painting to those of the data set, and makes background of the
    others: ade20k-voc, coco-voc, or a file with a line 'source,target' for each."""

    def open(self, device: str) -> None:
        """Read the table, so that errors in it come first."""
        _ = self._renamed

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
                ids[labels.ids == i] = add_class(name, names)
        if masks is not None:
            asked = object_names(masks, prompts, classes)
            seen = [i for i, name in enumerate(asked) if name != BACKGROUND_NAME]
            numbers = {i: add_class(asked[i] or NAMELESS, names) for i in seen}
            for i in self._order(masks, prompts).tolist():
                if i in numbers:
                    place, inside = masks.cut_out(i)
                    ids[place][inside] = numbers[i]
        return Labels(ids, names)

    def _order(self, masks: Masks, prompts: Prompts | None) -> NDArray[np.intp]:
        """(n,): the places of the masks, the one that lies on top last."""
        return np.arange(len(masks))


def same_objects(
    masks: PackedMasks,
    i: int,
    others: Sequence[int],
    least: float,
    parts: float | None = None,
) -> Iterator[int]:
    """Those of the other masks, in order, that show the object of mask `i`.

    That is with an IoU of `least`, or where at least `parts` of mask `i` lies in the other; a mask
    without a pixel shows none.
    """
    own, (top, left, bottom, right) = int(masks.areas[i]), masks.boxes[i]
    if not own or not len(others):
        return
    places = np.asarray(others)
    areas, boxes = masks.areas[places], masks.boxes[places]
    # The IoU is at most the ratio of the areas, so most pairs need no look at pixels.
    maybe = np.minimum(own, areas) >= least * np.maximum(own, areas)
    if parts is not None:
        maybe |= areas >= parts * own
    maybe &= (boxes[:, 0] < bottom) & (top < boxes[:, 2]) & (areas > 0)
    maybe &= (boxes[:, 1] < right) & (left < boxes[:, 3])
    for j in places[maybe].tolist():
        both = masks.shared(i, j)
        is_part = parts is not None and both >= parts * own
        if is_part or both >= least * (own + int(masks.areas[j]) - both):
            yield j
