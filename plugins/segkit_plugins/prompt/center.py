"""Click on the middle of the image: the baseline that looks at nothing."""

from __future__ import annotations

from collections.abc import Sequence

from segkit import Image, Prompt, Prompter, Prompts, hookimpl


class Center(Prompter):
    """One foreground point in the middle of the image, ((W − 1) / 2, (H − 1) / 2).

    It needs no heatmap. Photographers put their object there, so it is the baseline that every
    prompt strategy has to beat.
    """

    name = "center"
    concurrent = True

    def __call__(self, image: Image) -> Prompts:
        """One prompt of one point."""
        height, width = image.size
        return Prompts((Prompt(points=[((width - 1) / 2, (height - 1) / 2)]),))


@hookimpl
def segkit_prompters() -> Sequence[type[Prompter]]:
    """Register `center`."""
    return [Center]
