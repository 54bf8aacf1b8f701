"""Click beside the point: move every point of the prompts at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pydantic import PositiveFloat

from segkit import Image, Perturbation, Prompts, hookimpl


class PointJitter(Perturbation):
    """Each point moves by N(0, σ²) in x and in y, σ = `step` × level pixels.

    Points stay inside the image; boxes and masks stay as they are. With the same `rng` a point
    moves in the same direction at all levels, only farther.
    """

    name = "point-jitter"

    step: PositiveFloat = 4.0
    """How much the standard deviation grows with each level, in pixels."""

    def __call__(
        self, prompts: Prompts, image: Image, level: float, rng: np.random.Generator
    ) -> Prompts:
        """The same prompts with moved points; at level 0 the same points."""
        if level == 0:
            return prompts
        last = np.array(image.size[::-1], np.float32) - 1
        moved = []
        for prompt in prompts:
            noise = rng.standard_normal(prompt.points.shape, np.float32)
            points = prompt.points + noise * np.float32(self.step * level)
            moved.append(replace(prompt, points=points.clip(0, last)))
        return Prompts(tuple(moved))


@hookimpl
def segkit_perturbations() -> Sequence[type[Perturbation]]:
    """Register `point-jitter`."""
    return [PointJitter]
