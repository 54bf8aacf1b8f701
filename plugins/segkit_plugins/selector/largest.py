"""Keep the largest candidate mask."""

from __future__ import annotations

from collections.abc import Sequence

from segkit import Masks, Selector, hookimpl
from segkit_plugins.selector._best import best_by


class Largest(Selector):
    """For each prompt the mask with the most pixels.

    Of equals the one with the higher score is kept, then the first. The masks come in the order of
    their prompts.
    """

    name = "largest"
    concurrent = True

    def __call__(self, masks: Masks) -> Masks:
        """One mask for each prompt that has any."""
        return best_by(masks, masks.areas)


@hookimpl
def segkit_selectors() -> Sequence[type[Selector]]:
    """Register `largest`."""
    return [Largest]
