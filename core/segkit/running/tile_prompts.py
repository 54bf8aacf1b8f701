"""Prompts of a large image, dealt to the tiles that hold them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segkit.running.blending import cropped
from segkit.running.tiles import Grid, Tile
from segkit.values.types import Prompt, Prompts

EDGE = 2
"""A mask that has one of so many last rows of its tile goes on in the next one."""


@dataclass(frozen=True)
class Piece:
    """What one tile is asked of one prompt."""

    prompt: Prompt
    """In the tile's own pixels."""
    held: float
    """How much of the prompt the tile holds: the greater, the rather it is the one to go by."""


def dealt(prompts: Prompts, grid: Grid) -> dict[int, dict[int, Piece]]:
    """Tile to prompt to what the tile is asked of it.

    A box is cut at the tiles' borders, and a tile that holds no more of it than another is not
    asked. Without a box, those tiles are asked that have a positive point, or, of a mask prompt
    alone, a positive logit; points of other tiles are left out. A prompt that asks nothing asks
    no tile.
    """
    asked: dict[int, dict[int, Piece]] = {}
    for place, prompt in enumerate(prompts):
        for index, piece in _pieces(prompt, grid):
            asked.setdefault(index, {})[place] = piece
    return asked


def _pieces(prompt: Prompt, grid: Grid) -> Iterator[tuple[int, Piece]]:
    if prompt.box is not None:
        boxes = {i: _clipped(prompt.box, tile) for i, tile in enumerate(grid.tiles)}
        kept = _largest({i: box for i, box in boxes.items() if box is not None})
        for i, box in kept.items():
            yield i, Piece(moved(prompt, grid, i, box), float(np.prod(box[2:] - box[:2] + 1)))
        return
    signs = prompt.signs if prompt.signs.any() else np.ones(len(prompt.points), bool)
    for i, tile in enumerate(grid.tiles):
        if len(prompt.points):
            wanted = prompt.points[inside(prompt.points, tile) & signs]
            if len(wanted):
                yield i, Piece(moved(prompt, grid, i), _weight(wanted, grid, i))
        elif prompt.mask is not None:
            own = cropped(prompt.mask, tile, grid.size)
            if (own > 0).any():
                yield i, Piece(moved(prompt, grid, i), float((own > 0).sum()))


def moved(prompt: Prompt, grid: Grid, index: int, box: NDArray[np.float32] | None = None) -> Prompt:
    """A prompt as a tile is asked it: its points there, this box, its part of the mask."""
    tile = grid.tiles[index]
    there = inside(prompt.points, tile)
    corner = np.array([tile.left, tile.top], np.float32)
    mask = None if prompt.mask is None else cropped(prompt.mask, tile, grid.size)
    return Prompt(
        points=prompt.points[there] - corner,
        signs=prompt.signs[there],
        box=None if box is None else box - np.tile(corner, 2),
        mask=mask if mask is not None and (mask > 0).any() else None,
        name=prompt.name,
        score=prompt.score,
    )


def inside(points: NDArray[np.float32], tile: Tile) -> NDArray[np.bool_]:
    """(n,): which points (n, 2), x before y, lie on a pixel of the tile."""
    first = np.array([tile.left, tile.top]) - 0.5
    last = np.array([tile.right, tile.bottom]) - 0.5
    return np.asarray(((points >= first) & (points <= last)).all(axis=1))


def _weight(points: NDArray[np.float32], grid: Grid, index: int) -> float:
    """How much a tile counts at these points, all together."""
    tile, (down, across) = grid.tiles[index], grid.weights[index]
    x, y = np.rint(points - [tile.left, tile.top]).astype(int).T
    return float((down[y.clip(0, len(down) - 1)] * across[x.clip(0, len(across) - 1)]).sum())


def _clipped(box: NDArray[np.float32], tile: Tile) -> NDArray[np.float32] | None:
    """The part of a box that lies in a tile, or None."""
    first = np.array([tile.left, tile.top], np.float32)
    last = np.array([tile.right, tile.bottom], np.float32)
    if (box[:2] > last - 0.5).any() or (box[2:] < first - 0.5).any():
        return None
    return box.clip(np.tile(first, 2), np.tile(last - 1, 2))


def _largest(boxes: dict[int, NDArray[np.float32]]) -> dict[int, NDArray[np.float32]]:
    """Those that lie in no other one; of equal ones the first."""

    def lies_in(i: int, j: int) -> bool:
        inner, outer = boxes[i], boxes[j]
        held = bool((inner[:2] >= outer[:2]).all() and (inner[2:] <= outer[2:]).all())
        return held and (j < i or not np.array_equal(inner, outer))

    return {i: box for i, box in boxes.items() if not any(lies_in(i, j) for j in boxes if j != i)}


def followed(
    prompt: Prompt, mask: NDArray[np.bool_], grid: Grid, index: int
) -> Iterator[tuple[int, Piece]]:
    """The tiles into which a mask of a tile goes on, and what they are asked.

    `mask` (h, w) is the answer of the tile at `index` to a prompt of points. The tile next to it is
    asked with the pixel of the mask that lies deepest in their overlap, and with the prompt's
    background points that it has.
    """
    from scipy import ndimage

    tile = grid.tiles[index]
    border = _at_border(mask, tile, grid.size)
    if not border.any():
        return
    for other in grid.overlapping(index):
        common = tile.common(grid.tiles[other])
        assert common is not None
        place = common.within(tile.top, tile.left)
        part = mask[place]
        if not border[place].any():
            continue
        depth = ndimage.distance_transform_edt(np.pad(part, 1))[1:-1, 1:-1]
        y, x = np.unravel_index(int(depth.argmax()), part.shape)
        point = np.array([[x + common.left, y + common.top]], np.float32)
        away = prompt.points[~prompt.signs]
        asked = Prompt(
            points=np.concatenate([point, away]),
            signs=np.arange(1 + len(away)) < 1,
            name=prompt.name,
            score=prompt.score,
        )
        yield other, Piece(moved(asked, grid, other), 0.0)


def _at_border(mask: NDArray[np.bool_], tile: Tile, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels of a tile's mask at those of its borders beyond which the image goes on."""
    border = np.zeros_like(mask)
    if tile.top > 0:
        border[:EDGE] = True
    if tile.left > 0:
        border[:, :EDGE] = True
    if tile.bottom < size[0]:
        border[-EDGE:] = True
    if tile.right < size[1]:
        border[:, -EDGE:] = True
    return mask & border
