"""Hide what was found and ask the classifier again, for further objects of the class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt

from segkit import Heatmap, Image, Look, Masks, Prompter, Prompts, hookimpl
from segkit_plugins.prompt._regions import Asking, Region, asked_of, hot, parts


class Erase(Prompter):
    """After each answer: prompts for what the class is still seen in when its masks are hidden.

    Used with another prompter: `--prompt components+erase`. The masks of the class, a little wider,
    are painted over in the picture, and saliency and transforms are asked about what is left. While
    the class's score stays (at least `keep` × what it was), each connected part of the new heatmap
    outside of the masks (at least `level` × its maximum) is one more prompt, the largest first,
    with the new score. `--rounds` bounds how often that is repeated. Where the masks are empty, or
    hold nearly all of the picture, nothing is hidden.

    Adversarial erasing, which Wei et al. 2017 ("Object Region Mining with Adversarial Erasing") use
    to complete one region; here regions are segmented in between, so that a further one is a
    further object.
    """

    name = "erase"
    concurrent = True
    companion = True

    keep: float = Field(0.5, gt=0, le=1)
    """Least score of the class in the picture with hidden objects, as a share of its first one."""

    level: float = Field(0.5, gt=0, le=1)
    """Heat that a pixel of a further object has at least, as a share of the new maximum."""

    ask: Asking = "both"
    """What is asked of each: its brightest pixel, its tight box, or both."""

    min_area: float = Field(0.005, ge=0, le=1)
    """Smaller parts are passed over; a share of the image's pixels."""

    wider: NonNegativeInt = 5
    """By how many pixels more than the masks is hidden, so that no outline is left."""

    fill: Literal["mean", "blur"] = "mean"
    """What hides: the mean colour of the rest of the picture, or the picture, blurred."""

    most: PositiveInt = 8
    """At most this many prompts of one class in all."""

    def __call__(self) -> Prompts:
        """Nothing: it waits for the first mask."""
        return Prompts()

    def refine(
        self, prompts: Prompts, masks: Masks, heatmap: Heatmap, image: Image, look: Look
    ) -> Prompts | None:
        """The prompts with one more for each further object; None if the class is not seen on."""
        room = self.most - len(prompts)
        covered: Region = masks.covered()
        if room <= 0 or not heatmap.values.any() or not covered.any():
            return None
        hidden = _dilated(covered, self.wider)
        if np.count_nonzero(~hidden) < max(1, self.min_area * hidden.size):
            return None
        left = look(replace(image, pixels=self._painted_over(image.pixels, hidden)))
        again = next((h for h in left if h.name == heatmap.name), None)
        if again is None or again.score < self.keep * heatmap.score:
            return None
        values = np.where(hidden, np.float32(0), again.values)
        least = max(1, round(self.min_area * values.size))
        regions = parts(hot(values, self.level) & ~hidden, room, least)
        further = [
            replace(asked_of(part, values, self.ask), name=again.name, score=again.score)
            for part in regions
        ]
        return Prompts((*prompts, *further)) if further else None

    def _painted_over(self, pixels: NDArray[np.uint8], hidden: Region) -> NDArray[np.uint8]:
        """The pixels (H, W, 3) with the hidden ones replaced."""
        painted = pixels.copy()
        if self.fill == "mean":
            painted[hidden] = np.rint(pixels[~hidden].mean(axis=0)).astype(np.uint8)
            return painted
        from scipy import ndimage

        sigma = max(pixels.shape[:2]) / 20
        blurred = ndimage.gaussian_filter(pixels.astype(np.float32), (sigma, sigma, 0))
        painted[hidden] = np.rint(blurred).astype(np.uint8)[hidden]
        return painted


def _dilated(region: Region, pixels: int) -> Region:
    """The region and all that is at most so many pixels away from it."""
    from scipy import ndimage

    if not pixels:
        return region
    near: Region = ndimage.distance_transform_edt(~region) <= pixels
    return near


@hookimpl
def segkit_prompters() -> Sequence[type[Prompter]]:
    """Register `erase`."""
    return [Erase]
