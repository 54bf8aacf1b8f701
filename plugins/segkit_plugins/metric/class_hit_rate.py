"""Share of foreground points on the class that they name, and of background points off it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from segkit import Counts, Figure, Metric, Prompts, Truth, hookimpl
from segkit_plugins.metric._counting import region
from segkit_plugins.metric._points import OfPoints


class ClassHitRate(OfPoints):
    """Share of all foreground points on the class they name, and of all background points off it.

    The object is the region of the prompt's class if the data set knows that class by name, else
    any foreground; where the named class is not in the image, no point can be on it. So a wrong
    class name makes points on the object misses, and background points on it right; `hit-rate` asks
    for no class. Points are pooled and left out as there.
    """

    name = "class-hit-rate"
    concurrent = True
    figures = {"class-hit-rate": Figure(background=False), "class-hit-rate-background": Figure()}

    def count(
        self, prompts: Prompts, truth: Truth, classes: Mapping[int, str] | None = None
    ) -> Counts:
        """How many points, how many right, for foreground and ('…-background') background."""
        return self.counted(prompts, truth, lambda prompt: region(truth, prompt.name, classes))


@hookimpl
def segkit_metrics() -> Sequence[type[Metric]]:
    """Register `class-hit-rate`."""
    return [ClassHitRate]
