"""Keep the candidate mask that a judge holds for the best."""

from __future__ import annotations

from collections.abc import Sequence

from segkit import Masks, Selector, hookimpl
from segkit_plugins.selector._best import best_by


class Quality(Selector):
    """For each prompt the mask of the best quality, as `--judge` has it.

    Of equals the one with the higher score is kept, then the first; so it is where nobody has
    judged. The masks come in the order of their prompts; a prompt without candidates stays without
    a mask.
    """

    name = "quality"
    concurrent = True

    def __call__(self, masks: Masks) -> Masks:
        """One mask for each prompt that has any."""
        return best_by(masks, masks.scores if masks.quality is None else masks.quality)


@hookimpl
def segkit_selectors() -> Sequence[type[Selector]]:
    """Register `quality`."""
    return [Quality]
