"""The tests of perturbations."""

from __future__ import annotations

from typing import Any

from segkit.plugins.steps import Step
from segkit.testing.asking import Broken, difference, named
from segkit.testing.working import Working
from segkit.values.types import Image, Prompts

LEVELS = (1.0, 2.0, 4.0, 8.0)
"""Rising damage."""


class PerturbationTests(Working):
    """Damage to an image or to prompts at rising levels."""

    def values(self, name: str) -> dict[str, Any]:
        """The kit's values, and a level."""
        return {"level": 1.0, **super().values(name)}

    def test_level_0_is_no_damage(self, chosen: int) -> None:
        """At level 0 it gives back what it was given."""
        step = self.step(chosen)
        for name in ("ordinary", "noise", "white", "one-pixel"):
            values = {**self.values(name), "level": 0.0}
            found = difference(self._undamaged(step, values), self.answer(step, values))
            if found:
                raise Broken(
                    f"{named(step)} does damage at level 0: its {self._what(step)}{found} (before, "
                    "and after); level 0 means none"
                )

    def test_levels_do_damage(self, chosen: int) -> None:
        """Higher levels change something."""
        step = self.step(chosen)
        values = self.values("ordinary")
        given = self._undamaged(step, values)
        if not any(
            difference(given, self.answer(step, {**values, "level": level})) for level in LEVELS
        ):
            raise Broken(f"{named(step)} changes nothing at the levels 1 to {LEVELS[-1]:g}")

    def test_size_and_number_stay(self, chosen: int) -> None:
        """An image keeps name and size, for the truth must fit; prompts keep their number."""
        step = self.step(chosen)
        for name in ("ordinary", "taller", "one-row", "prompts-at-the-border"):
            for level in LEVELS:
                values = {**self.values(name), "level": level}
                given, made = self._undamaged(step, values), self.answer(step, values)
                if isinstance(made, Image) and made.size != given.size:
                    raise Broken(
                        f"{named(step)} makes an image of {made.size} out of one of {given.size}; "
                        "the size has to stay, for the truth has it"
                    )
                if isinstance(made, Image) and made.name != given.name:
                    raise Broken(
                        f"{named(step)} renames the image '{given.name}' to '{made.name}'; hand "
                        "the name on"
                    )
                if isinstance(made, Prompts) and len(made) != len(given):
                    raise Broken(
                        f"{named(step)} makes {len(made)} prompts out of {len(given)}; their "
                        "number has to stay, for masks answer them by their place"
                    )

    def test_other_randomness_does_other_damage(self, chosen: int) -> None:
        """Where it asks for `rng`, it uses it."""
        step = self.step(chosen)
        values = {**self.values("ordinary"), "level": LEVELS[-1]}
        made = [self.answer(step, values, seed) for seed in range(4)]
        if all(difference(made[0], other) is None for other in made[1:]):
            raise Broken(
                f"{named(step)} asks for 'rng' and does the same damage with every seed; draw from "
                "it, or leave it out"
            )

    @classmethod
    def without(cls, step: type[Step]) -> list[str]:
        """Randomness is only for some."""
        random = "rng" in step.inputs().all
        gone = [] if random else ["test_other_randomness_does_other_damage"]
        return super().without(step) + gone

    def _what(self, step: Step) -> str:
        return "image" if type(step).output() is Image else "prompts"

    def _undamaged(self, step: Step, values: dict[str, Any]) -> Any:
        """What it damages."""
        what = self._what(step)
        if what not in type(step).inputs().all:
            raise Broken(f"{named(step)} makes {what} and does not ask for '{what}'")
        return values[what]
