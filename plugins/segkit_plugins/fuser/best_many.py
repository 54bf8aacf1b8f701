"""Keep the best-judged mask of each object: what looks like a better one is dropped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segkit import Fuser, Masks, Prompts, hookimpl
from segkit_plugins.fuser._judged import best_first, named_alike, qualities
from segkit_plugins.fuser._painting import Painting, same_objects


class BestMany(Painting):
    """A class map with the best-judged masks, none of which looks like another.

    Greedy non-maximum suppression by quality: the best-judged mask is kept, all that have an IoU
    of `overlap` or more with it are dropped, then the best of the rest is kept, and so on. Where
    nobody has judged, the segmenter's own score decides; empty masks are dropped. Where kept masks
    overlap, the better-judged lies on top. Metrics and files see the kept masks, in the order of
    their prompts.

    A mask without a class takes the class of the best mask that has one and looks like it (an IoU
    of 0.5 or more); else it is 'object'. Names get the data set's ids, and a class map is painted
    over, as `paint` does it.
    """

    name = "best-many"
    concurrent = True

    overlap: float = Field(0.5, gt=0, le=1)
    """Masks with at least this IoU show one object; the best-judged stays."""

    parts: float | None = Field(None, gt=0, le=1)
    """A mask of which at least this share lies in a better-judged one is a part of that object, and
    is left out. Left out, parts stay."""

    def merge(self, masks: Masks, prompts: Prompts | None = None) -> Masks:
        """The masks that no better one looks like."""
        kept: list[int] = []
        for i in best_first(masks):
            better = same_objects(masks.packed, i, kept, self.overlap, self.parts)
            if masks.areas[i] and next(better, None) is None:
                kept.append(i)
        return named_alike(masks, sorted(kept), prompts)

    def _order(self, masks: Masks, prompts: Prompts | None) -> NDArray[np.intp]:
        return np.argsort(qualities(masks), kind="stable")


@hookimpl
def segkit_fusers() -> Sequence[type[Fuser]]:
    """Register `best-many`."""
    return [BestMany]
