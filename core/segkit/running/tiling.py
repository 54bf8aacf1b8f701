"""Saliency methods and segmenters on large images, tile by tile.

A step sees a tile as if it were an image, and knows of no other; it never sees more pixels than a
tile has. Heat of tiles is blended (`running.blending`), their masks are joined (`running.seams`).
An image of one tile goes the ordinary way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from segkit.errors import BadValueError, SegkitError, TooLargeError
from segkit.plugins.contract import named
from segkit.plugins.steps import Saliency, Step
from segkit.running.blending import (
    Map,
    heatmap_of,
    levelled,
    shrunk,
    shrunk_truth,
    truth_of,
)
from segkit.running.calling import Call, Caller, Failure, Task, Values
from segkit.running.graph import Node
from segkit.running.prompting import united
from segkit.running.seams import Answers, assembled, matched, pasted, same_place
from segkit.running.tile_prompts import Piece, dealt, followed
from segkit.running.tiles import Grid, Tile
from segkit.values.types import Heatmap, Image, Labels, Masks, Prompts

TILED = ("saliency", "segmenter")
"""The kinds whose steps look at tiles."""

KEPT = 16
"""So many encodings of an image's tiles are kept for those who ask again; further ones are made
when they are wanted."""


@dataclass(frozen=True, eq=False)
class Encodings:
    """In place of a large image's encoding: those of its tiles, as far as they are kept."""

    of: dict[int, Any] = field(default_factory=dict)


class Tiling(Caller):
    """A caller that cuts images which are larger than the tiles of a node."""

    def call(
        self, node: Node, step: Step, calls: Sequence[Call], method: str | None = None
    ) -> list[Any]:
        """As `Caller.call`; a large image's answer is made of its tiles' answers."""
        tiles = node.tiles
        cut = [tiles is not None and not tiles.hold(c.task.image.size) for c in calls]
        if tiles is None or not any(cut):
            return super().call(node, step, calls, method)
        if step.kind not in TILED:
            return super().call(node, step, [*map(_without_encodings, calls)], method)
        whole = [call for call, large in zip(calls, cut, strict=True) if not large]
        answers = iter(super().call(node, step, whole, method))
        return [
            self._of_tiles(node, step, call, tiles.grid(call.task.image.size), method)
            if large
            else next(answers)
            for call, large in zip(calls, cut, strict=True)
        ]

    def _of_tiles(self, node: Node, step: Step, call: Call, grid: Grid, method: str | None) -> Any:
        if method == "encode":
            return Encodings()
        about = _About(self, node, step, call, grid)
        try:
            return about.heatmaps() if isinstance(step, Saliency) else about.segmented()
        except TooLargeError:
            raise
        except SegkitError as error:
            return Failure(str(error))

    def call_whole(self, node: Node, step: Step, call: Call, method: str | None = None) -> Any:
        """What a step makes of one picture as it is. Raises `SegkitError` where it fails."""
        made = super().call(node, step, [call], method)[0]
        if isinstance(made, Failure):
            raise SegkitError(made.error)
        return made


@dataclass(frozen=True)
class _About:
    """One call of a step on a large image."""

    caller: Tiling
    node: Node
    step: Step
    call: Call
    grid: Grid

    # ---- heat ----------------------------------------------------------------------------------

    def heatmaps(self) -> tuple[Heatmap, ...]:
        """The image's heatmaps, made of those of its tiles."""
        assert isinstance(self.step, Saliency)
        if not self.step.stretches:
            return self._gathered()
        task = self.call.task
        assert self.node.tiles is not None
        small = shrunk(task.image, self.node.tiles.side)
        truth = None if task.truth is None else shrunk_truth(task.truth, small.size)
        whole = self._asked(replace(task, image=small, truth=truth), self.call.inputs)
        work = self._parts if hasattr(self.step, "part") else self._levelled
        rows = [work(tile, whole) for tile in self.grid.tiles]
        return tuple(
            heatmap_of(self.grid, maps, h.name, h.score, stretch=True, of=len(whole))
            for h, maps in zip(whole, zip(*rows, strict=True), strict=True)
        )

    def _parts(self, tile: Tile, whole: Sequence[Heatmap]) -> Sequence[Map]:
        """A tile's maps for the classes of the whole image, all tiles' on one scale."""
        inputs = {**self.call.inputs, "heatmaps": tuple(whole)}
        made = self._asked(self._task(tile), inputs, "part")
        maps = [np.asarray(values, np.float32) for values in made]
        wrong = len(maps) != len(whole) or any(
            m.ndim != 2 or not m.size or not np.isfinite(m).all() or m.min() < 0 for m in maps
        )
        if wrong:
            raise BadValueError(
                f"part of {named(self.step)} should make one map (h, w) of finite numbers from 0 "
                f"for each of the {len(whole)} heatmaps, but made {len(maps)} of shapes "
                f"{', '.join(str(m.shape) for m in maps[:3])}"
            )
        return maps

    def _levelled(self, tile: Tile, whole: Sequence[Heatmap]) -> Sequence[Map | None]:
        """A tile's own heatmaps, each no hotter than the whole image's is there."""
        made = dict(_keyed(self._asked(self._task(tile), self.call.inputs)))
        return [
            levelled(made[key], heatmap, tile, self.grid.size) if key in made else None
            for key, heatmap in _keyed(whole)
        ]

    def _gathered(self) -> tuple[Heatmap, ...]:
        """The heatmaps of all tiles, those of one class as one; the likeliest first."""
        maps: dict[Any, list[Map | None]] = {}
        scores: dict[Any, float] = {}
        count = len(self.grid.tiles)
        for index, tile in enumerate(self.grid.tiles):
            for key, heatmap in _keyed(self._asked(self._task(tile), self.call.inputs)):
                maps.setdefault(key, [None] * count)[index] = heatmap.values
                scores[key] = max(scores.get(key, 0.0), heatmap.score)
        seen = [key for key in maps if key[0] is not None or scores[key]] or [*maps][:1]
        seen.sort(key=lambda key: -scores[key])
        return tuple(
            heatmap_of(self.grid, maps[key], key[0], scores[key], stretch=False, of=len(seen))
            for key in seen
        )

    # ---- masks and class maps ------------------------------------------------------------------

    def segmented(self) -> Masks | Labels:
        """The image's masks, or its class map, made of those of its tiles."""
        step, inputs = self.step, self.call.inputs
        prompts: Prompts | None = inputs.get("prompts")
        pieces = {} if prompts is None else dealt(prompts, self.grid)
        if type(step).output() is Labels:
            ids = [self._segment(i, pieces.get(i)) for i in range(len(self.grid.tiles))]
            return pasted(self.grid, ids)
        if prompts is not None:
            return self._answered(prompts, pieces)
        answers = {i: _packed(self._segment(i, None)) for i in range(len(self.grid.tiles))}
        if "heatmap" in inputs and "heatmap" in type(step).inputs().all:
            groups = same_place(answers)
            prompt = [int(answers[tile].prompt[i]) for (tile, i), *_ in groups]
            return assembled(self.grid, answers, groups, prompt)
        masks = assembled(
            self.grid, answers, groups := matched(self.grid, answers), [0] * len(groups)
        )
        best = masks.take(np.argsort(-masks.scores, kind="stable"))
        return best.changed(prompt=np.arange(len(best)))

    def _answered(self, prompts: Prompts, pieces: dict[int, dict[int, Piece]]) -> Masks:
        """The answers to prompts; where a mask goes on in the next tile, that is asked too."""
        answers: dict[int, Answers] = {}
        while pieces:
            further: dict[int, dict[int, Piece]] = {}
            for index in sorted(pieces):
                made = _packed(self._segment(index, pieces[index]))
                for turn, (place, piece) in enumerate(pieces[index].items()):
                    own = answers.setdefault(place, Answers())
                    own.masks[index] = made.take(np.flatnonzero(made.prompt == turn))
                    own.held[index] = piece.held
            for index in sorted(pieces):
                for place in pieces[index]:
                    for other, piece in self._followed(prompts, place, answers[place], index):
                        further.setdefault(other, {}).setdefault(place, piece)
            pieces = further
        parts: list[Masks] = []
        for place in sorted(answers):
            own = answers[place]
            groups = [*own.groups(self.grid)]
            parts.append(assembled(self.grid, own.masks, groups, [place] * len(groups)))
        return united(parts, self.grid.size)

    def _followed(
        self, prompts: Prompts, place: int, answers: Answers, index: int
    ) -> Iterator[tuple[int, Piece]]:
        """The tiles that were not asked yet into which an answer to points goes on."""
        prompt = prompts[place]
        if prompt.box is not None or prompt.mask is not None:
            return  # they say themselves how far the object reaches
        for candidate in np.argsort(-answers.masks[index].scores, kind="stable"):
            mask = answers.masks[index].at(int(candidate))
            for other, piece in followed(prompt, mask, self.grid, index):
                if other not in answers.masks:
                    yield other, piece

    def _segment(self, index: int, pieces: dict[int, Piece] | None) -> Any:
        """What the segmenter makes of one tile."""
        tile = self.grid.tiles[index]
        task, inputs = self._task(tile), dict(self.call.inputs)
        if "prompts" in inputs:
            inputs["prompts"] = Prompts(tuple(p.prompt for p in (pieces or {}).values()))
        if "heatmap" in inputs:
            heat: Heatmap = inputs["heatmap"]
            own = np.ascontiguousarray(heat.values[tile.place])
            inputs["heatmap"] = Heatmap(own, heat.name, heat.score)
        if isinstance(inputs.get("encoding"), Encodings):
            kept: dict[int, Any] = inputs["encoding"].of
            encoding = kept.get(index)
            if encoding is None:
                encoding = self._asked(task, {}, "encode")
                if len(kept) < KEPT:
                    kept[index] = encoding
            inputs["encoding"] = encoding
        return self._asked(task, inputs)

    # ---- both ----------------------------------------------------------------------------------

    def _asked(self, task: Task, inputs: Values, method: str | None = None) -> Any:
        """What the step makes of a picture that is no larger than a tile."""
        call = Call(task, inputs, self.call.heatmap)
        return self.caller.call_whole(self.node, self.step, call, method)

    def _task(self, tile: Tile) -> Task:
        """The image's task with one of its tiles as the image."""
        task = self.call.task
        pixels = np.ascontiguousarray(task.image.pixels[tile.place])
        truth = None
        if task.truth is not None and "truth" in type(self.step).inputs().all:
            truth = truth_of(task.truth, tile)
        return replace(task, image=Image(pixels, task.image.name), truth=truth)


def _keyed(heatmaps: Sequence[Heatmap]) -> Iterator[tuple[tuple[str | None, int], Heatmap]]:
    """Heatmaps by their class and which of that class they are."""
    counts: dict[str | None, int] = {}
    for heatmap in heatmaps:
        counts[heatmap.name] = counts.get(heatmap.name, -1) + 1
        yield (heatmap.name, counts[heatmap.name]), heatmap


def _packed(masks: Masks) -> Masks:
    """A tile's masks as they wait for those of the others, without logits."""
    return masks.changed(masks=masks.packed, logits=None)


def _without_encodings(call: Call) -> Call:
    """The call; a step behind the segmenter is given no tile's encoding."""
    if not isinstance(call.inputs.get("encoding"), Encodings):
        return call
    return replace(call, inputs={k: v for k, v in call.inputs.items() if k != "encoding"})
