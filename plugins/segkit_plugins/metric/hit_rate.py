"""Share of foreground points on the object, and of background points off it."""

from __future__ import annotations

from collections.abc import Sequence

from segkit import Counts, Figure, Metric, Prompts, Truth, hookimpl
from segkit_plugins.metric._counting import objects
from segkit_plugins.metric._points import OfPoints


class HitRate(OfPoints):
    """Share of all foreground points on an object, and of all background points off all objects.

    An object is any foreground of the truth, whatever class the prompt names, as for `iou` and
    `distance`; `class-hit-rate` asks for the class too. All points of all images are pooled. A
    point counts for the pixel in which it lies; points on void are left out. Boxes and mask prompts
    play no part.
    """

    name = "hit-rate"
    concurrent = True
    figures = {"hit-rate": Figure(), "hit-rate-background": Figure()}

    def count(self, prompts: Prompts, truth: Truth) -> Counts:
        """How many points, how many right, for foreground and ('…-background') background."""
        foreground = objects(truth)
        return self.counted(prompts, truth, lambda prompt: foreground)


@hookimpl
def segkit_metrics() -> Sequence[type[Metric]]:
    """Register `hit-rate`."""
    return [HitRate]
