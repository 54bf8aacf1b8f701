"""Paint the masks one over the other, each in its own class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from segkit import BACKGROUND, VOID, Fuser, Image, Labels, Masks, Prompts, hookimpl, id_of
from segkit_plugins.shared.name_tables import BACKGROUND_NAME
from segkit_plugins.shared.object_names import NAMELESS, object_names


class Paint(Fuser):
    """A class map with the masks painted in order, later ones on top.

    A mask's class is its own name, else its prompt's, else 'object'. Names get the data set's ids;
    a name that it lacks gets the next free id, so without a data set of classes ids differ from
    image to image (results.jsonl has the names). Where the data set knows one class, 'object', all
    masks are that. A mask called 'background', such as the answer to a click on it, is not painted.
    Where a segmenter made a class map, the masks are painted over it, and its classes are
    renumbered by name in the same way (a class of the map without a name keeps its id, and is
    called 'class 7' if the data set has no name for it).
    """

    name = "paint"

    def __call__(
        self,
        image: Image,
        masks: Masks | None = None,
        prompts: Prompts | None = None,
        labels: Labels | None = None,
        classes: Mapping[int, str] | None = None,
    ) -> Labels:
        """The class map (H, W) with the classes of the data set, the class map and the masks."""
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
