"""Masks and class maps of tiles as those of the whole image.

Masks of two tiles are one where they agree in what both tiles show: where the IoU of their pixels
there is `AGREE` or more. Of a tile at most one mask goes into each. What tiles have waits packed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from segkit.running.tiles import Grid, Tile
from segkit.values.bitmaps import Bitmap, PackedMasks, large
from segkit.values.types import Labels, Masks

AGREE = 0.5
"""The least IoU, in what two tiles show both, of masks that are one."""

Part: TypeAlias = tuple[int, int]
"""A tile, and one of its masks."""


def assembled(
    grid: Grid,
    answers: Mapping[int, Masks],
    groups: Sequence[Sequence[Part]],
    prompt: Sequence[int],
) -> Masks:
    """One mask for each group of tiles' masks: their union.

    `prompt`: what each answers. Its score is the mean of theirs, weighted by their pixels; its name
    is the first one's.
    """
    bitmaps, scores, names = [], [], []
    for group in groups:
        canvas = Canvas([grid.tiles[tile] for tile, _ in group])
        for tile, place in group:
            canvas.add(grid.tiles[tile], answers[tile].at(place))
        bitmaps.append(canvas.bitmap())
        areas = np.array([answers[t].areas[i] for t, i in group], np.float64)
        own = np.array([answers[t].scores[i] for t, i in group], np.float64)
        scores.append(float(np.average(own, weights=areas) if areas.any() else own[0]))
        names.append(answers[group[0][0]].names[group[0][1]])
    packed = PackedMasks(grid.size, bitmaps)
    dense = not large(len(bitmaps) * grid.size[0] * grid.size[1])
    return Masks(packed.unpacked() if dense else packed, scores, prompt, tuple(names))


class Canvas:
    """What some tiles show, put together."""

    def __init__(self, tiles: Sequence[Tile]) -> None:
        self.top = min(tile.top for tile in tiles)
        self.left = min(tile.left for tile in tiles) // 8 * 8  # as bitmaps have it
        height = max(tile.bottom for tile in tiles) - self.top
        width = max(tile.right for tile in tiles) - self.left
        self.mask = np.zeros((height, width), bool)
        self.seen = np.zeros((height, width), bool)

    def add(self, tile: Tile, mask: NDArray[np.bool_]) -> None:
        """Add a tile's mask (h, w)."""
        place = tile.within(self.top, self.left)
        self.mask[place] |= mask
        self.seen[place] = True

    def agreement(self, tile: Tile, mask: NDArray[np.bool_]) -> float | None:
        """The IoU of a tile's mask with what is there, where both show something; or None."""
        place = tile.within(self.top, self.left)
        seen = self.seen[place]
        there, own = self.mask[place] & seen, mask & seen
        both = np.count_nonzero(there | own)
        return np.count_nonzero(there & own) / both if both else None

    def bitmap(self) -> Bitmap:
        """The mask, packed, at its place in the image."""
        packed = Bitmap.of(self.mask)
        if not packed.area:
            return packed
        return replace(packed, top=packed.top + self.top, left=packed.left + self.left)


@dataclass
class Answers:
    """What tiles have answered to one prompt."""

    masks: dict[int, Masks] = field(default_factory=dict)
    """Tile to its candidates, in the order in which the tiles were asked."""
    held: dict[int, float] = field(default_factory=dict)
    """Tile to how much it holds of the prompt; 0: it was asked because a neighbour's mask goes
    on there."""

    def groups(self, grid: Grid) -> Iterator[list[Part]]:
        """The candidates of the tile that holds most of the prompt, each with what goes with it.

        Of each further tile that is the candidate that agrees best. Where neither shows a pixel in
        what tiles have in common there is nothing to agree on: a tile that holds a part of the
        prompt takes part with its best candidate.
        """
        first = max(self.masks, key=lambda tile: self.held[tile])
        others = [tile for tile in self.masks if tile != first]
        for place in range(len(self.masks[first])):
            canvas = Canvas([grid.tiles[tile] for tile in self.masks])
            canvas.add(grid.tiles[first], self.masks[first].at(place))
            group = [(first, place)]
            for tile in others:
                best = self._fitting(tile, canvas, grid)
                if best is not None:
                    group.append((tile, best))
                    canvas.add(grid.tiles[tile], self.masks[tile].at(best))
            yield group

    def _fitting(self, tile: int, canvas: Canvas, grid: Grid) -> int | None:
        """The candidate of a tile that goes with what is there, or None."""
        masks = self.masks[tile]
        ious = [canvas.agreement(grid.tiles[tile], mask) for mask in masks.arrays()]
        told = [-1.0 if iou is None else iou for iou in ious]
        if told and max(told) >= AGREE:
            return int(np.argmax(told))
        if self.held[tile] and told and all(iou is None for iou in ious):
            return int(masks.scores.argmax())
        return None


def matched(grid: Grid, answers: Mapping[int, Masks]) -> list[list[Part]]:
    """Masks of everything in each tile, put together where those of neighbours agree.

    The pairs that agree best come first; masks of different names never go together.
    """
    pairs = []
    for (a, first), (b, second) in combinations(answers.items(), 2):
        common = grid.tiles[a].common(grid.tiles[b])
        if common is None or not len(first) or not len(second):
            continue
        ious = _ious(_flat(first, grid.tiles[a], common), _flat(second, grid.tiles[b], common))
        for i, j in zip(*np.nonzero(ious >= AGREE), strict=True):
            if first.names[i] == second.names[j]:
                pairs.append((-float(ious[i, j]), (a, int(i)), (b, int(j))))
    group_of = {(tile, i): [(tile, i)] for tile, m in answers.items() for i in range(len(m))}
    for _, one, other in sorted(pairs):
        left, right = group_of[one], group_of[other]
        if left is right or {tile for tile, _ in left} & {tile for tile, _ in right}:
            continue
        left += right
        group_of.update(dict.fromkeys(right, left))
    return [group for part, group in group_of.items() if group[0] == part]


def _flat(masks: Masks, tile: Tile, common: Tile) -> NDArray[np.float32]:
    """(n, pixels): what a tile's masks have in a part that it shares, as numbers."""
    place = common.within(tile.top, tile.left)
    return np.array([mask[place].ravel() for mask in masks.arrays()], np.float32)


def _ious(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, m): the IoU of each of the first with each of the second; 0 where neither has a pixel."""
    shared = first @ second.T
    both = first.sum(axis=1)[:, None] + second.sum(axis=1) - shared
    return np.asarray(shared / np.maximum(both, 1), np.float32)


def same_place(answers: Mapping[int, Masks]) -> list[list[Part]]:
    """Masks that answer a heatmap: those of one prompt and name are one, the first with the first.

    Nothing is compared: each tile was given its part of the same heatmap.
    """
    groups: dict[tuple[int, str | None, int], list[Part]] = {}
    for tile, masks in answers.items():
        seen: defaultdict[tuple[int, str | None], int] = defaultdict(int)
        for place, key in enumerate(zip(masks.prompt.tolist(), masks.names, strict=True)):
            groups.setdefault((*key, seen[key]), []).append((tile, place))
            seen[key] += 1
    return [groups[key] for key in sorted(groups, key=lambda key: (key[0], key[2], str(key[1])))]


def pasted(grid: Grid, answers: Sequence[Labels]) -> Labels:
    """A class map: of each tile the pixels that are nearest to its middle."""
    ids = np.zeros(grid.size, np.int32)
    classes: dict[int, str] = {}
    for tile, own, labels in zip(grid.tiles, grid.own, answers, strict=True):
        ids[own.place] = labels.ids[own.within(tile.top, tile.left)]
        classes |= labels.classes
    ids.flags.writeable = False
    return Labels(ids, classes)
