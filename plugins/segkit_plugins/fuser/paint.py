"""Paint the masks one over the other, each in its own class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from segkit import BACKGROUND, VOID, Fuser, Image, Labels, Masks, Prompts, hookimpl, id_of
from segkit_plugins.shared.name_tables import BACKGROUND_NAME, NameTable, load_table
from segkit_plugins.shared.object_names import NAMELESS, object_names, only_objects
from segkit_plugins.shared.renaming import renamed_map


class Paint(Fuser):
    """A class map with the masks painted in order, later ones on top.

    A mask's class is its own name, else its prompt's, else 'object'. Names get the data set's ids;
    a name that it lacks gets the next free id, so without a data set of classes ids differ from
    image to image (results.jsonl has the names). Where the data set knows one class, 'object', all
    masks are that. A mask called 'background', such as the answer to a click on it, is not painted.
    Where a segmenter made a class map, the masks are painted over it, and its
    classes are renumbered by name in the same way (a class of the map without a name keeps its id,
    and is called 'class 7' if the data set has no name for it).

    With `--paint.table` masks and map are painted under their own names, and renamed after it: a
    mask whose name the table lacks still covers what lies under it, and becomes background. Masks
    without a name stay 'object'.
    """

    name = "paint"

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
            return _painted(image, masks, prompts, labels, classes)
        table = {NAMELESS: NAMELESS, **self._renamed}
        if only_objects(classes):
            table = dict.fromkeys(table, NAMELESS)
        own = _painted(image, masks, prompts, labels, None)
        return renamed_map(own, NameTable(table), classes)

    @cached_property
    def _renamed(self) -> Mapping[str, str] | None:
        return None if self.table is None else load_table(self.table)


def _painted(
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
        for mask, object_name in zip(masks.masks, asked, strict=True):
            if object_name != BACKGROUND_NAME:
                ids[mask] = id_of(object_name or NAMELESS, names)
    return Labels(ids, names)


@hookimpl
def segkit_fusers() -> Sequence[type[Fuser]]:
    """Register `paint`."""
    return [Paint]
