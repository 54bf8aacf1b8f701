"""Click at random on the true object and on the background, as a user would who shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from segkit import (
    BACKGROUND,
    VOID,
    BadImageError,
    Image,
    Prompt,
    Prompter,
    Prompts,
    Truth,
    hookimpl,
)
from segkit_plugins.prompt._regions import middle

Region = NDArray[np.bool_]
"""(H, W) bool."""


class RandomClicks(Prompter):
    """A click on the background and one on an object, at random places of the truth.

    The protocol by which a segmenter of clicks such as `point-clip` is measured: it stands for a
    user, so it needs a data set with truth. Each click is a prompt of its own, the background's
    first. An object is one of the truth's instances, or without instances all pixels of a class;
    each of an image's objects is as likely, and so is each of its pixels. An object's click has the
    name of its class, the background's is called 'background', and void is never clicked. The
    metric `clicks` compares each answer with what lies under its click.
    """

    name = "random-clicks"
    concurrent = True
    takes = (*Prompter.takes, "truth")  # type: ignore[assignment]  # one more than others get

    on: Literal["both", "object", "background"] = "both"
    """What is clicked."""

    each: bool = False
    """Click on every object in place of one."""

    place: Literal["any", "interior"] = "any"
    """any: each pixel is as likely. interior: the pixel farthest from the border."""

    def __call__(self, image: Image, truth: Truth, rng: np.random.Generator) -> Prompts:
        """A prompt with one point for each click.

        Raises `BadImageError` where what is to be clicked has no pixel.
        """
        prompts = []
        if self.on != "object":
            background = truth.labels.ids == BACKGROUND
            prompts.append(self._click(background, "background", image, truth, rng))
        if self.on != "background":
            objects = objects_of(truth)
            if objects and not self.each:
                objects = [objects[rng.integers(len(objects))]]
            for region in objects or [np.zeros(truth.labels.ids.shape, bool)]:
                prompts.append(self._click(region, "object", image, truth, rng))
        return Prompts(tuple(prompts))

    def _click(
        self,
        region: Region,
        what: Literal["object", "background"],
        image: Image,
        truth: Truth,
        rng: np.random.Generator,
    ) -> Prompt:
        """A prompt on a place of the region."""
        rows, columns = np.nonzero(region)
        if not len(rows):
            other = "object" if what == "background" else "background"
            raise BadImageError(
                f"random-clicks should click on the {what}, but the truth of '{image.name}' shows "
                f"no pixel of it; leave the image out, or click elsewhere (--random-clicks.on "
                f"{other})"
            )
        if self.place == "interior":
            x, y = (int(n) for n in middle(region))
        else:
            at = rng.integers(len(rows))
            x, y = int(columns[at]), int(rows[at])
        shown = int(truth.labels.ids[y, x])
        name = "background" if what == "background" else truth.labels.classes.get(shown)
        return Prompt(points=[(x, y)], name=name)


def objects_of(truth: Truth) -> list[Region]:
    """The objects of a truth: its instances, or without them its classes; void is none."""
    ids = truth.labels.ids
    numbers = ids if truth.instances is None else truth.instances
    shown = (ids != BACKGROUND) & (ids != VOID)
    present = np.setdiff1d(numbers[shown], (BACKGROUND, VOID))
    return [(numbers == i) & shown for i in present.tolist()]


@hookimpl
def segkit_prompters() -> Sequence[type[Prompter]]:
    """Register `random-clicks`."""
    return [RandomClicks]
