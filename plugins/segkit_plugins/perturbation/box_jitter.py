"""Draw the box beside the object: move each side of the prompts' boxes at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pydantic import PositiveFloat

from segkit import Image, Perturbation, Prompts, hookimpl


class BoxJitter(Perturbation):
    """Each side of each box moves by its own draw from N(0, σ²), σ = `step` × level pixels.

    Sides stay inside the image, and two that pass each other change places; points and masks stay
    as they are. With the same `rng` a side moves in the same direction at all levels, only farther.
    """

    name = "box-jitter"

    step: PositiveFloat = 4.0
    """How much the standard deviation grows with each level, in pixels."""

    def __call__(
        self, prompts: Prompts, image: Image, level: float, rng: np.random.Generator
    ) -> Prompts:
        """The same prompts with moved boxes; at level 0 the same boxes."""
        if level == 0:
            return prompts
        last = np.array(image.size[::-1], np.float32) - 1
        moved = []
        for prompt in prompts:
            if prompt.box is not None:
                noise = rng.standard_normal((2, 2), np.float32) * np.float32(self.step * level)
                corners = (prompt.box.reshape(2, 2) + noise).clip(0, last)
                prompt = replace(prompt, box=np.sort(corners, axis=0).ravel())
            moved.append(prompt)
        return Prompts(tuple(moved))


@hookimpl
def segkit_perturbations() -> Sequence[type[Perturbation]]:
    """Register `box-jitter`."""
    return [BoxJitter]
