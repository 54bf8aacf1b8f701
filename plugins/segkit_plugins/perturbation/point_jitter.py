"""Click beside the point: move every point of the prompts at random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from segkit import Perturbation, Prompt, hookimpl
from segkit_plugins.perturbation._jitter import Jitter, Points


class PointJitter(Jitter):
    """Each point moves by N(0, σ²) in x and in y, σ = `step` × level pixels.

    Points stay inside the image; boxes and masks stay as they are. With the same `rng` a point
    moves in the same direction at all levels, only farther.
    """

    name = "point-jitter"
    concurrent = True

    def moved(self, prompt: Prompt, shift: Callable[[Points], Points]) -> Prompt:
        """The prompt with its points moved."""
        return replace(prompt, points=shift(prompt.points))


@hookimpl
def segkit_perturbations() -> Sequence[type[Perturbation]]:
    """Register `point-jitter`."""
    return [PointJitter]
