"""Put background points where the mask leaks, and only there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from segkit import Heatmap, Image, Masks, Prompt, Prompter, Prompts, hookimpl
from segkit_plugins.prompt._leaks import (
    Leak,
    best_answers,
    gradient_of,
    leak_of,
    left_out,
    smaller_answers,
    strategies,
    without,
)
from segkit_plugins.prompt._regions import Region, cold, middle, parts, tight_box


class AdaptiveBackground(Prompter):
    """After each answer: background points in the parts of the mask that leaked out of the object.

    Used with another prompter: `--prompt topk+adaptive-background`. A connected part that covers
    at least `least` of the mask leaks by one of two kinds of evidence.

    - `edges`: another answer leaves it out, and an edge of the picture cuts it off. The other
      answers are the segmenter's own smaller candidates, and those to three more strategies: the
      tight box of the hot region, its most interior pixel, and this with a wider box. Where the
      part touches the rest of the mask, the picture's gradient must be at least `contrast` × that
      where it touches what lies outside: a mask that follows the object's outline ends at an edge,
      one that leaked has run over it.
    - `heat`: the heatmap there is below `cold` × its maximum. Cold parts of large objects are taken
      for leaks, too.

    The most interior pixel becomes a background point, the largest parts first. Where a judge takes
    part (`--judge learned`), each leak by edges is asked about twice, with the point and the box of
    what is left of the mask, and with the first answer's logits, turned against the leak, as well;
    the best is asked, if it is judged better by `margin`. Without a judge the leak with the
    plainest edge gets its points. Where nothing leaks, the prompt stays as it was; `--rounds`
    bounds how often it is asked again. Nothing is added if the heatmap has no heat.
    """

    name = "adaptive-background"
    concurrent = True
    companion = True

    evidence: Literal["edges", "heat"] = "edges"
    """What shows a leak: edges of the picture and other answers, or a cold heatmap."""

    cold: float = Field(0.1, ge=0, le=1)
    """By heat: below it a pixel should not be in the mask; a share of the maximum."""

    least: float = Field(0.05, ge=0, le=1)
    """Smaller leaks are left alone; a share of the mask's area."""

    points: PositiveInt = 1
    """At most this many points for each prompt and round."""

    contrast: float = Field(1.0, ge=0)
    """By edges: least gradient along the cut, as a multiple of that along the leak's outline."""

    margin: float = Field(0.03, ge=0, le=1)
    """By edges, with a judge: by how much better the second look must be judged."""

    def __call__(self) -> Prompts:
        """Nothing: it waits for the first mask."""
        return Prompts()

    def refine(
        self,
        prompts: Prompts,
        masks: Masks,
        heatmap: Heatmap,
        image: Image,
        ask: Callable[[Prompts], Masks],
    ) -> Prompts | None:
        """The prompts with background points where their masks leak; None if none does."""
        if not heatmap.values.any():
            return None
        own = (masks.covered(masks.prompt == i) for i in range(len(prompts)))
        if self.evidence == "heat":
            far = cold(heatmap.values, self.cold)
            refined = [
                self._held_back(prompt, self._parts(mask, mask & far))
                for prompt, mask in zip(prompts, own, strict=True)
            ]
        else:
            gradient, others = gradient_of(image.pixels), strategies(heatmap.values)
            refined = [
                self._second_look(prompt, mask, others, gradient, ask)
                for prompt, mask in zip(prompts, own, strict=True)
            ]
        changed = any(new is not old for new, old in zip(refined, prompts, strict=True))
        return Prompts(tuple(refined)) if changed else None

    def _parts(self, mask: Region, region: Region) -> list[Region]:
        """The region's connected parts that are large enough, as many as get a point."""
        return parts(region, self.points, max(1, round(self.least * np.count_nonzero(mask))))

    def _held_back(self, prompt: Prompt, regions: Sequence[Region]) -> Prompt:
        """The prompt with a new background point in each region; itself if all are there."""
        known = {tuple(point) for point in prompt.points.tolist()}
        new = [point for point in map(middle, regions) if point not in known]
        if not new:
            return prompt
        return replace(
            prompt,
            points=np.concatenate([prompt.points, np.array(new, np.float32)]),
            signs=np.concatenate([prompt.signs, np.zeros(len(new), bool)]),
        )

    def _second_look(
        self,
        prompt: Prompt,
        mask: Region,
        others: Sequence[Prompt],
        gradient: NDArray[np.float32],
        ask: Callable[[Prompts], Masks],
    ) -> Prompt:
        """What to ask in place of a prompt that a mask answers; the prompt if nothing leaks."""
        if not mask.any():
            return prompt
        first = ask(Prompts((prompt, *others)))
        candidates = [first.at(i) for i in np.flatnonzero(first.prompt == 0).tolist()]
        answers = smaller_answers(mask, candidates)
        answers += best_answers(first, range(1, len(others) + 1))
        leaks = [
            leak
            for region in left_out(mask, answers)
            if (leak := leak_of(mask, region, prompt, gradient, self.least)) is not None
            and leak.edge >= self.contrast
        ]
        if not leaks:
            return prompt
        if first.quality is None or not candidates:
            plainest = max(leaks, key=lambda leak: leak.edge)
            return self._held_back(prompt, plainest.parts[: self.points])
        chosen = int(
            np.argmax([np.count_nonzero(c & mask) / np.count_nonzero(c | mask) for c in candidates])
        )
        logits = None if first.logits is None else first.logits[first.prompt == 0][chosen]
        looks = [look for leak in leaks for look in self._looks(prompt, mask, leak, logits)]
        return self._best_judged(prompt, chosen, others, looks, ask)

    def _looks(
        self, prompt: Prompt, mask: Region, leak: Leak, logits: NDArray[np.float32] | None
    ) -> list[Prompt]:
        """How to ask again about a leak: with a box, and with the logits of the answer as well."""
        held = self._held_back(prompt, leak.parts[: self.points])
        if held is prompt:
            return []
        box = np.array(tight_box(mask & ~leak.region), np.float32)
        held = replace(held, box=box)
        if logits is None:
            return [held]
        return [held, replace(held, mask=without(logits, leak.region))]

    def _best_judged(
        self,
        prompt: Prompt,
        chosen: int,
        others: Sequence[Prompt],
        looks: Sequence[Prompt],
        ask: Callable[[Prompts], Masks],
    ) -> Prompt:
        """The best-judged second look, or the prompt, whose answer is one of its candidates.

        All are judged together with the other strategies' answers: the more unlike ones there are,
        the better a judge that goes by agreement.
        """
        answers = ask(Prompts((prompt, *looks, *others)))
        if answers.quality is None:
            return prompt
        quality = np.full(1 + len(looks), -1.0)
        quality[0] = answers.quality[answers.prompt == 0][chosen]
        asked = (answers.prompt > 0) & (answers.prompt <= len(looks))
        np.maximum.at(quality, answers.prompt[asked], answers.quality[asked])
        best = int(quality.argmax())
        return looks[best - 1] if best and quality[best] > quality[0] + self.margin else prompt


@hookimpl
def segkit_prompters() -> Sequence[type[Prompter]]:
    """Register `adaptive-background`."""
    return [AdaptiveBackground]
