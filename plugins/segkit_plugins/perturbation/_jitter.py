"""Prompts with their points or boxes moved at random, by normally distributed distances."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat

from segkit import Image, Perturbation, PluginError, Prompt, Prompts

Points = NDArray[np.float32]
"""(n, 2) float32: x and y in pixels of the image."""


class Jitter(Perturbation):
    """Coordinates move by draws from N(0, σ²), σ = `step` × level pixels, and stay in the image."""

    step: PositiveFloat = 4.0
    """How much the standard deviation grows with each level, in pixels."""

    def __call__(
        self, prompts: Prompts, image: Image, level: float, rng: np.random.Generator
    ) -> Prompts:
        """The same prompts, moved; at level 0 they stay as they are."""
        if level == 0:
            return prompts
        deviation = np.float32(self.step * level)
        last = np.array(image.size[::-1], np.float32) - 1

        def shift(points: Points) -> Points:
            noise = rng.standard_normal(points.shape, np.float32)
            return (points + noise * deviation).clip(0, last)

        return Prompts(tuple(self.moved(prompt, shift) for prompt in prompts))

    def moved(self, prompt: Prompt, shift: Callable[[Points], Points]) -> Prompt:
        """One prompt, moved. `shift` draws for each coordinate of some points, and moves them."""
        # Each jitter overrides this; said as the kinds' own missing parts are.
        raise PluginError(f"{type(self).__name__} should define 'moved', but does not")
