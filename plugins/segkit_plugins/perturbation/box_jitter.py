"""Draw the box beside the object: move each side of the prompts' boxes at random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from segkit import Perturbation, Prompt, hookimpl
from segkit_plugins.perturbation._jitter import Jitter, Points


class BoxJitter(Jitter):
    """Each side of each box moves by its own draw from N(0, σ²), σ = `step` × level pixels.

    Sides stay inside the image, and two that pass each other change places; points and masks stay
    as they are. With the same `rng` a side moves in the same direction at all levels, only farther.
    """

    name = "box-jitter"
    concurrent = True

    def moved(self, prompt: Prompt, shift: Callable[[Points], Points]) -> Prompt:
        """The prompt with its box moved; the same prompt if it has none."""
        if prompt.box is None:
            return prompt
        corners = shift(prompt.box.reshape(2, 2))
        return replace(prompt, box=np.sort(corners, axis=0).ravel())


@hookimpl
def segkit_perturbations() -> Sequence[type[Perturbation]]:
    """Register `box-jitter`."""
    return [BoxJitter]
