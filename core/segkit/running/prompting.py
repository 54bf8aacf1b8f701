"""Prompts between prompters and segmenter: where each came from, and second looks.

Prompters work group by group (`--prompt a+b` is one group) and heatmap by heatmap. What they ask
stays in *spans*, one for each group and heatmap, so that a segmenter or selector that reads a
heatmap gets the prompts made of it, and a second look the prompts of its own group.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from segkit.errors import BadValueError
from segkit.plugins.contract import named
from segkit.plugins.steps import Prompter, Step
from segkit.running.plan import Group
from segkit.values.heatmaps import union
from segkit.values.held import masks_joined
from segkit.values.types import Heatmap, Masks, Prompts
from segkit.values.waiting import rows_joined

Heatmaps: TypeAlias = tuple[Heatmap, ...]


@dataclass(frozen=True)
class Span:
    """The prompts that one group of prompters made of one heatmap, or of none."""

    prompts: Prompts
    heatmap: int | None = None
    """The heatmap's place among those of the image; None: the group reads none."""
    prompters: Group = ()


@dataclass(frozen=True)
class Asked:
    """All prompts of an image, span by span."""

    spans: tuple[Span, ...] = ()

    @property
    def prompts(self) -> Prompts:
        """All prompts in one row; masks refer to their place in it."""
        return Prompts(tuple(prompt for span in self.spans for prompt in span.prompts))

    @property
    def heatmap_of(self) -> list[int | None]:
        """For each prompt the place of its heatmap."""
        return [span.heatmap for span in self.spans for _ in span.prompts]

    def answered(self, masks: Masks) -> Iterator[tuple[Span, Masks]]:
        """Each span with the masks that answer its prompts, which refer to their place in it."""
        start = 0
        for span in self.spans:
            end = start + len(span.prompts)
            own = masks.take([i for i, p in enumerate(masks.prompt) if start <= p < end])
            yield span, own.changed(prompt=own.prompt - start)
            start = end

    def replaced(self, prompts: Prompts, step: Step) -> Asked:
        """The same spans with these prompts, which `step` made, in place of theirs.

        Raises `BadValueError` if they are not as many.
        """
        count = sum(len(span.prompts) for span in self.spans)
        if len(prompts) != count:
            raise BadValueError(
                f"{named(step)} should make as many prompts as it is given, {count}, "
                f"but made {len(prompts)}"
            )
        spans, start = [], 0
        for span in self.spans:
            end = start + len(span.prompts)
            spans.append(replace(span, prompts=Prompts(prompts.items[start:end])))
            start = end
        return Asked(tuple(spans))


def joined(several: Sequence[Asked], group: Group) -> Asked:
    """What a group asks: each prompter's prompts for a heatmap merged with the others' for it.

    The spans of a prompter that reads no heatmap are merged with those of every heatmap. Raises
    `BadValueError` for numbers of prompts that do not go together.
    """
    spans = []
    longest = max(several, key=lambda asked: len(asked.spans))
    for place in range(len(longest.spans)):
        row = [asked.spans[place if len(asked.spans) > 1 else 0] for asked in several]
        heatmap = next((span.heatmap for span in row if span.heatmap is not None), None)
        prompts = row[0].prompts
        for span, prompter in zip(row[1:], group[1:], strict=True):
            prompts = _paired(prompts, span.prompts, group[0], prompter)
        spans.append(Span(prompts, heatmap, group))
    return Asked(tuple(spans))


def _paired(prompts: Prompts, others: Prompts, first: Prompter, second: Prompter) -> Prompts:
    """Prompt by prompt; a single one joins each of several, none at all changes nothing."""
    if not len(prompts) or not len(others):
        return prompts if len(prompts) else others
    if len(prompts) != len(others) and 1 not in (len(prompts), len(others)):
        raise BadValueError(
            f"{first.name}+{second.name} should make as many prompts each, but make "
            f"{len(prompts)} and {len(others)}"
        )
    count = max(len(prompts), len(others))
    return Prompts(
        tuple(prompts[i % len(prompts)].merged(others[i % len(others)]) for i in range(count))
    )


def heatmap_for(heatmaps: Heatmaps, place: int | None) -> Heatmap:
    """The heatmap that prompts were made of; of prompts made without one, the union of all."""
    return union(heatmaps) if place is None else heatmaps[place]


def placed(masks: Masks, prompts: Prompts | None, places: Sequence[int]) -> Masks:
    """Masks that answer some of the prompts, renumbered to all; nameless ones get their class.

    `places`: where each of the prompts stands among all; without prompts, the heatmap's place.
    """
    if prompts is None:
        return masks.changed(prompt=masks.prompt + places[0])
    names = tuple(
        prompts[place].name if name is None else name
        for name, place in zip(masks.names, masks.prompt, strict=True)
    )
    return masks.changed(prompt=np.asarray(places, np.int64)[masks.prompt], names=names)


def united(parts: Sequence[Masks], size: tuple[int, int]) -> Masks:
    """Several `Masks` of one image as one, in the order of the prompts they answer."""
    if not parts:
        return Masks.none(size)
    if len(parts) == 1:
        return parts[0]
    prompt = np.concatenate([masks.prompt for masks in parts])
    logits = [low for masks in parts if (low := masks._held_logits) is not None]
    judged = [masks.quality for masks in parts if masks.quality is not None]
    alike = len(logits) == len(parts) and len({low.shape[-2:] for low in logits}) == 1
    together = Masks(
        masks_joined(size, [masks.held for masks in parts]),
        np.concatenate([masks.scores for masks in parts]),
        prompt,
        tuple(name for masks in parts for name in masks.names),
        rows_joined(logits) if alike else None,
        np.concatenate(judged) if len(judged) == len(parts) else None,
    )
    if (np.diff(prompt) >= 0).all():
        return together
    return together.take(np.argsort(prompt, kind="stable"))
