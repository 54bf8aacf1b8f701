"""Ask only where no mask of the class lies yet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segkit import Masks, Prompt, Prompter, Prompts, hookimpl


class Uncovered(Prompter):
    """Prompts that lie in a mask of their class ask for nothing new and are left out.

    Used with another prompter: `--prompt components+uncovered`. The likeliest prompt is asked
    first; each further one only if no mask of its class that there is by then holds it. A prompt
    lies in a mask if all its foreground points do, or, without such points, `share` of its box or
    of its mask. Groups without `uncovered` are asked before: with
    `--prompt yolo --prompt components+uncovered` heat counts where the detector has found nothing
    of the class. A prompt or mask without a class goes with every class.
    """

    name = "uncovered"
    concurrent = True
    companion = True

    share: float = Field(0.5, gt=0, le=1)
    """How much of a box or mask has to be covered for the prompt to be left out."""

    any_class: bool = False
    """Whether masks of other classes count as well."""

    def __call__(self) -> Prompts:
        """Nothing: it judges what others ask."""
        return Prompts()

    def admit(self, prompts: Prompts, masks: Masks) -> Prompts:
        """The prompts that lie in no mask of their class."""
        return Prompts(tuple(p for p in prompts if not self._is_covered(p, masks)))

    def _is_covered(self, prompt: Prompt, masks: Masks) -> bool:
        return any(
            self._lies_in(prompt, mask)
            for mask, name in zip(masks.arrays(), masks.names, strict=True)
            if self.any_class or None in (name, prompt.name) or name == prompt.name
        )

    def _lies_in(self, prompt: Prompt, mask: NDArray[np.bool_]) -> bool:
        height, width = mask.shape
        on = prompt.points[prompt.signs]
        if len(on):
            # Whole numbers are pixel centres; points may lie up to half a pixel outside of them.
            x, y = np.clip(np.rint(on.T).astype(np.int64), 0, [[width - 1], [height - 1]])
            return bool(mask[y, x].all())
        if prompt.box is not None:
            x0, y0, x1, y1 = np.clip(np.rint(prompt.box), 0, [width - 1, height - 1] * 2).astype(
                int
            )
            return bool(mask[y0 : y1 + 1, x0 : x1 + 1].mean() >= self.share)
        if prompt.mask is None:
            return False
        rows, columns = (
            ((np.arange(own) + 0.5) * size / own).astype(int)
            for own, size in zip(prompt.mask.shape, mask.shape, strict=True)
        )
        region = prompt.mask > 0
        covered = mask[np.ix_(rows, columns)][region]
        return bool(len(covered) and covered.mean() >= self.share)


@hookimpl
def segkit_prompters() -> Sequence[type[Prompter]]:
    """Register `uncovered`."""
    return [Uncovered]
