"""Give the first answer back to the segmenter as a mask prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from segkit import Masks, Prompt, Prompter, Prompts, hookimpl


class Cascade(Prompter):
    """A second round with the same points and the first round's mask logits as mask prompt.

    Used with another prompter: `--prompt topk+cascade`. Segment Anything is trained on such second
    rounds (Kirillov et al. 2023, appendix A). A prompt that already holds a mask is left as it is,
    and so is one without an answer or whose segmenter gives no logits.
    """

    name = "cascade"
    concurrent = True
    companion = True

    def __call__(self) -> Prompts:
        """Nothing: it waits for the first mask."""
        return Prompts()

    def refine(self, prompts: Prompts, masks: Masks) -> Prompts | None:
        """The prompts with their answers' logits; None if none gets one."""
        refined = tuple(self._again(prompt, i, masks) for i, prompt in enumerate(prompts))
        changed = any(new is not old for new, old in zip(refined, prompts, strict=True))
        return Prompts(refined) if changed else None

    def _again(self, prompt: Prompt, place: int, masks: Masks) -> Prompt:
        own = (masks.prompt == place).nonzero()[0]
        if prompt.mask is not None or masks.logits is None or not len(own):
            return prompt
        return replace(prompt, mask=masks.logits[own[0]])


@hookimpl
def segkit_prompters() -> Sequence[type[Prompter]]:
    """Register `cascade`."""
    return [Cascade]
