"""Keep the best-judged mask of all prompts: one picture, one object."""

from __future__ import annotations

from collections.abc import Sequence

from segkit import Fuser, Masks, Prompts, hookimpl
from segkit_plugins.fuser._judged import best_first, named_alike
from segkit_plugins.fuser._painting import Painting


class Best(Painting):
    """A class map with one mask: of all prompts' masks the one that a judge holds for the best.

    For pictures of one object that several strategies ask for, each in its own way: `--prompt
    components --prompt topk --prompt center --judge learned --select quality --fuser best`. Where
    nobody has judged, the segmenter's own score decides. Empty masks come last; of equals the first
    is kept. Metrics and files see this mask alone.

    A mask without a class, such as the answer to the picture's centre, takes the class of the best
    mask that has one and looks like it (an IoU of 0.5 or more); else it is 'object'. Names get the
    data set's ids, and a class map is painted over, as `paint` does it.
    """

    name = "best"
    concurrent = True

    def merge(self, masks: Masks, prompts: Prompts | None = None) -> Masks:
        """The best one; none of none."""
        return named_alike(masks, best_first(masks)[:1], prompts)


@hookimpl
def segkit_fusers() -> Sequence[type[Fuser]]:
    """Register `best`."""
    return [Best]
