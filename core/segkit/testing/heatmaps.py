"""The tests of saliency methods and heatmap transforms."""

from __future__ import annotations

from segkit.testing.asking import Broken, named
from segkit.testing.working import Working
from segkit.values.types import Heatmap


class SaliencyTests(Working):
    """Where a classifier looks."""

    def test_heatmaps_say_which_class_they_show(self, chosen: int) -> None:
        """A name is a text or None, and two heatmaps of a picture show two classes."""
        step = self.step(chosen)
        made = self.answer(step, "ordinary")
        names = [h.name for h in ((made,) if isinstance(made, Heatmap) else made)]
        if any(n is not None and not isinstance(n, str) for n in names):
            raise Broken(f"{named(step)} names its heatmaps {names!r}; a name is a text or None")
        if len(names) > 1 and len(set(names)) != len(names):
            raise Broken(
                f"{named(step)} makes {len(names)} heatmaps of the classes {names!r}; each should "
                "show another class"
            )


class TransformTests(Working):
    """A heatmap made into another one."""

    mirrors = True

    def test_it_keeps_class_and_score(self, chosen: int) -> None:
        """Prompts inherit both from the heatmap."""
        step = self.step(chosen)
        given = self.values("ordinary")["heatmap"]
        made = self.answer(step, "ordinary")
        for field in ("name", "score"):
            before, after = getattr(given, field), getattr(made, field)
            if before != after:
                raise Broken(
                    f"{named(step)} makes the heatmap's {field} {after!r} of {before!r}; hand it "
                    "on (dataclasses.replace(heatmap, values=...) does)"
                )

    def test_any_heatmap(self, chosen: int) -> None:
        """Whatever the heatmap, it makes one of that size with values in [0, 1]."""
        self.asked_of_any_heatmap(self.step(chosen))
