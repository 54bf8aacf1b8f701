"""Take each connected hot region for an object of its own."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, PositiveInt

from segkit import Heatmap, Prompter, Prompts, hookimpl
from segkit_plugins.prompt._regions import Asking, asked_of, hot, parts


class Components(Prompter):
    """One prompt for each connected part of the hot region, the largest first.

    Pixels of at least `level` × the maximum are hot; parts touch along sides or corners. A heatmap
    without heat makes no prompt.
    """

    name = "components"
    concurrent = True

    level: float = Field(0.5, gt=0, le=1)
    """Heat that a pixel of a region has at least, as a share of the maximum."""

    ask: Asking = "both"
    """What is asked of each: its brightest pixel, its tight box, or both."""

    min_area: float = Field(0.002, ge=0, le=1)
    """Smaller parts are passed over; a share of the image's pixels."""

    most: PositiveInt = 8
    """At most this many prompts."""

    def __call__(self, heatmap: Heatmap) -> Prompts:
        """Prompts, or none."""
        values = heatmap.values
        least = max(1, round(self.min_area * values.size))
        regions = parts(hot(values, self.level), self.most, least)
        return Prompts(tuple(asked_of(part, values, self.ask) for part in regions))


@hookimpl
def segkit_prompters() -> Sequence[type[Prompter]]:
    """Register `components`."""
    return [Components]
