"""Plain figures of candidate masks: what each is by itself, and how it stands to the others.

No figure tells which segmenter, prompt or recipe made a mask. All are finite, for masks without a
pixel and masks of all pixels too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from segkit_plugins.judge.learned.scene import Array, Scene

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

OWN = (
    *("side", "area", "off-middle", "height", "width", "extent", "roundness", "spread"),
    *("frame", "frame-sides", "frame-outline", "parts", "largest-part", "holes"),
    *("edge", "edge-wide", "edge-strong", "edge-relative", "texture"),
    *("colours-out", "colours-ring", "colour-split", "split", "split-ring", "alike"),
    *("things-in", "things-out", "things-ring", "things-rim", "things-overlap"),
    *("things-half", "things-whole", "things-held", "things-best", "people-in", "people-held"),
    *("scene-things", "scene-best", "scene-people", "scene-texture"),
)
"""What is known of a mask by itself, and of its scene, in this order."""

TOGETHER = (
    *("others", "agree", "agree-best", "agree-three", "agree-share", "agree-things"),
    *("common", "common-in", "common-out", "inside", "around", "score", "score-rank"),
)
"""What is known of it among all candidates of the image."""

NAMES = OWN + TOGETHER

MANY = 32
"""Masks that are looked at in one go; bounds memory."""
NEAR = 4
"""Width of the rings inside and outside of an outline, in places of the grid."""
WIDE = 3
"""Distance of the places between which an outline that is not sharp is looked for."""
SMALL = 1e-6


def features(scene: Scene, masks: NDArray[np.bool_], scores: Array) -> Array:
    """(n, len(NAMES)) float32 of all candidates (n, h, w) of a scene, and their scores (n,)."""
    own = own_features(scene, masks)
    things = own[:, OWN.index("things-overlap")]
    return np.concatenate([own, together_features(masks, things, scores, *overlaps(masks))], 1)


def own_features(scene: Scene, masks: NDArray[np.bool_]) -> Array:
    """(n, len(OWN)) float32 of masks (n, h, w) on the scene's grid."""
    parts = [_own(scene, masks[i : i + MANY]) for i in range(0, len(masks), MANY)]
    return np.concatenate(parts) if parts else np.zeros((0, len(OWN)), np.float32)


def overlaps(masks: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Pixels that two masks share, (n, n), and that each has, (n,); at every other place."""
    flat = _coarse(masks)
    shared = flat @ flat.T
    return shared, shared.diagonal().copy()


def _coarse(masks: NDArray[np.bool_]) -> Array:
    """Every other place of masks (n, h, w) in both directions, in one row each."""
    some = masks[:, ::2, ::2]
    return some.reshape(len(some), some.shape[1] * some.shape[2]).astype(np.float32)


def together_features(
    masks: NDArray[np.bool_], things: Array, scores: Array, shared: Array, areas: Array
) -> Array:
    """(n, len(TOGETHER)) of masks (n, h, w), their overlap with things, and their scores.

    `things` (n,): how far each overlaps what the picture is about; `shared` and `areas` as
    `overlaps` gives them.
    """
    count = len(masks)
    if not count:
        return np.zeros((0, len(TOGETHER)), np.float32)
    union = areas[:, None] + areas - shared
    iou = shared / np.maximum(union, 1)
    np.fill_diagonal(iou, 0)
    others = max(count - 1, 1)
    ranked = -np.sort(-iou, axis=1)
    weight = np.tile(things + 0.05, (count, 1))
    np.fill_diagonal(weight, 0)
    held = np.where(np.eye(count, dtype=bool), 0, shared)
    flat = _coarse(masks)
    # A mask has no say in what it is compared with.
    mean = (flat.sum(0) - flat) / others
    inside = (flat * mean).sum(1) / np.maximum(areas, 1)
    outside = ((1 - flat) * mean).sum(1) / np.maximum(flat.shape[1] - areas, 1)
    soft = (flat * mean).sum(1) / np.maximum(np.maximum(flat, mean).sum(1), 1)
    sure = scores.clip(0, 1)
    below = (sure[:, None] > sure).mean(1) + (sure[:, None] == sure).mean(1) / 2
    columns = [
        np.full(count, np.log2(count)),
        iou.sum(1) / others,
        ranked[:, 0],
        ranked[:, :3].sum(1) / min(3, others),
        (iou > 0.7).sum(1) / others,
        (iou * weight).sum(1) / np.maximum(weight.sum(1), SMALL),
        soft,
        inside,
        outside,
        held.sum(1) / others / np.maximum(areas, 1),
        (held / np.maximum(areas, 1)).sum(1) / others,
        sure,
        below,
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _own(scene: Scene, masks: NDArray[np.bool_]) -> Array:
    count = len(masks)
    flat = masks.reshape(count, -1).astype(np.float32)
    area = flat.sum(1)
    ring, rim = _rings(masks)
    columns = [
        *_outline(masks, area),
        *_pieces(masks, area),
        *_edges(scene, masks, ring | rim),
        *_colours(scene, flat, area, ring.reshape(count, -1).astype(np.float32)),
        *_evidence(scene, flat, area, ring, rim),
    ]
    whole = [
        scene.things.mean(),
        scene.things.max(),
        scene.people.max(),
        _steps(scene.colours, 1).mean(),
    ]
    columns += [np.full(count, value) for value in whole]
    return np.stack(columns, axis=1).astype(np.float32)


def _outline(masks: NDArray[np.bool_], area: Array) -> list[Array]:
    """Size, place, form, and how much of the frame is touched: the first eleven."""
    h, w = masks.shape[1:]
    share = area / (h * w)
    rows, columns = masks.sum(2, dtype=np.float32), masks.sum(1, dtype=np.float32)
    full = np.maximum(area, 1)
    ys, xs = (np.arange(h) + 0.5) / h, (np.arange(w) + 0.5) / w
    y, x = rows @ ys / full, columns @ xs / full
    place = np.hypot(np.where(area > 0, y - 0.5, 0.5), np.where(area > 0, x - 0.5, 0.5))
    tall, broad = _reach(rows > 0), _reach(columns > 0)
    across = (masks[:, 1:] != masks[:, :-1]).sum((1, 2)) + (
        masks[:, :, 1:] != masks[:, :, :-1]
    ).sum((1, 2))
    sides = np.stack([masks[:, 0].mean(1), masks[:, -1].mean(1)], axis=1)
    sides = np.concatenate([sides, masks[:, :, [0, -1]].mean(1)], axis=1)
    at_frame = sides @ np.array([w, w, h, h])
    outline = across + at_frame
    # Second moments, in places: a disc has the least for its area.
    var_y = np.maximum(rows @ (ys * h) ** 2 / full - (y * h) ** 2, 0)
    var_x = np.maximum(columns @ (xs * w) ** 2 / full - (x * w) ** 2, 0)
    return [
        np.sqrt(share),
        share,
        place,
        tall / h,
        broad / w,
        area / np.maximum(tall * broad, 1),
        np.minimum(4 * np.pi * area / np.maximum(outline, 1) ** 2, 1),
        np.minimum(area / (2 * np.pi * (var_y + var_x) + 1), 1),
        at_frame / (2 * (h + w)),
        (sides > 0.02).sum(1) / 4,
        at_frame / np.maximum(outline, 1),
    ]


def _reach(lines: NDArray[np.bool_]) -> Array:
    """From the first to the last True of each row, (n,)."""
    first, last = lines.argmax(1), lines.shape[1] - lines[:, ::-1].argmax(1)
    return np.where(lines.any(1), last - first, 0).astype(np.float32)


def _pieces(masks: NDArray[np.bool_], area: Array) -> list[Array]:
    """How many parts (logarithm), the share of the largest, and of holes."""
    from scipy import ndimage

    parts, largest, holes = np.zeros((3, len(masks)), np.float32)
    for i, mask in enumerate(masks):
        labels, _ = ndimage.label(mask)
        sizes = np.bincount(labels.ravel())[1:]
        if not len(sizes):
            continue
        parts[i] = np.log2(1 + (sizes >= max(2, 0.005 * area[i])).sum())
        largest[i] = sizes.max() / area[i]
        gaps, count = ndimage.label(~mask)
        if count > 1:
            open_ones = np.concatenate([gaps[0], gaps[-1], gaps[:, 0], gaps[:, -1]])
            closed = np.bincount(gaps.ravel())
            closed[0] = 0
            closed[open_ones] = 0
            holes[i] = closed.sum() / (closed.sum() + area[i])
    return [parts, largest, holes]


def _rings(masks: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Places outside and inside of the outline, at most `NEAR` away from it."""
    from scipy import ndimage

    near = 2 * NEAR + 1
    counts = masks.astype(np.float32)
    for axis in (1, 2):
        counts = ndimage.uniform_filter1d(counts, near, axis=axis, mode="nearest")
    return (counts > SMALL) & ~masks, (counts < 1 - SMALL) & masks


def _steps(colours: Array, apart: int) -> Array:
    """(2, h, w): how much the colour changes to the place `apart` below, and to the right."""
    steps = np.zeros((2, *colours.shape[:2]), np.float32)
    steps[0, :-apart] = np.abs(colours[apart:] - colours[:-apart]).sum(2)
    steps[1, :, :-apart] = np.abs(colours[:, apart:] - colours[:, :-apart]).sum(2)
    return steps


def _edges(scene: Scene, masks: NDArray[np.bool_], near: NDArray[np.bool_]) -> list[Array]:
    """How far the colour changes across the outline, in all and against its neighbourhood."""
    count = len(masks)
    fine = _steps(scene.colours, 1)
    means, strong = [], np.zeros(count, np.float32)
    limit = np.quantile(fine, 0.85)
    for apart in (1, WIDE):
        steps = fine if apart == 1 else _steps(scene.colours, apart)
        changes = np.zeros((count, 2, *scene.size), np.float32)
        changes[:, 0, :-apart] = masks[:, apart:] != masks[:, :-apart]
        changes[:, 1, :, :-apart] = masks[:, :, apart:] != masks[:, :, :-apart]
        crossed = changes.reshape(count, -1)
        total = np.maximum(crossed.sum(1), 1)
        means.append(crossed @ steps.ravel() / total)
        if apart == 1:
            strong = crossed @ (steps.ravel() > limit).astype(np.float32) / total
    around = near.reshape(count, -1).astype(np.float32)
    texture = around @ fine.mean(0).ravel() / np.maximum(around.sum(1), 1)
    own = masks.reshape(count, -1).astype(np.float32)
    inside = own @ fine.mean(0).ravel() / np.maximum(own.sum(1), 1)
    return [*means, strong, means[0] / (means[0] + texture + 0.01), inside]


def _colours(scene: Scene, flat: Array, area: Array, ring: Array) -> list[Array]:
    """How unlike inside and outside are: histograms of colours, and places of the embedding."""
    places = flat.shape[1]
    table = _membership(scene.bins, 216)
    inside, around = _counted(flat, table), _counted(ring, table)
    outside = np.asarray(table.sum(0), np.float32) - inside
    alike = [np.sqrt(_shares(inside) * _shares(other)).sum(1) for other in (outside, around)]
    cells = scene.embedding.shape[0] * scene.embedding.shape[1]
    into = _membership(scene.cells, cells)
    known = scene.embedding.reshape(cells, -1)
    sizes = np.asarray(into.sum(0), np.float32).ravel()
    by_colour = _split(flat, np.ones(places, np.float32), scene.colours.reshape(places, -1))
    held, by_place = _counted(flat, into), _counted(ring, into)
    split = _split(held, sizes, known)
    return [*alike, by_colour, split, *_apart(held, by_place, sizes, known)]


def _membership(group: NDArray[np.int64], groups: int) -> csr_matrix:
    """(m, groups): 1 where a place is of a group."""
    from scipy.sparse import csr_matrix

    places = np.arange(len(group))
    return csr_matrix((np.ones(len(group), np.float32), (places, group)), (len(group), groups))


def _counted(weights: Array, table: csr_matrix) -> Array:
    """(n, groups): how much of each mask (n, m) is of each group."""
    return np.asarray(weights @ table, np.float32)


def _shares(counts: Array) -> Array:
    """Rows that add up to 1, or are all 0."""
    return counts / np.maximum(counts.sum(1, keepdims=True), 1)


def _split(weights: Array, sizes: Array, values: Array) -> Array:
    """(n,): the share of the variance of values (m, k) that inside and outside explain.

    `weights` (n, m): how much of each of the m places, of `sizes` (m,), a mask holds.
    """
    all_places, held = sizes.sum(), weights.sum(1)
    inside = weights @ values / np.maximum(held, 1)[:, None]
    outside = (sizes - weights) @ values / np.maximum(all_places - held, 1)[:, None]
    share = held / all_places
    between = share * (1 - share) * ((inside - outside) ** 2).sum(1)
    return np.asarray(between / _variance(sizes, values), np.float32)


def _apart(weights: Array, ring: Array, sizes: Array, values: Array) -> list[Array]:
    """How far the inside is from the ring around it, and the variance inside, (n,) each."""
    held, around = weights.sum(1), ring.sum(1)
    inside = weights @ values / np.maximum(held, 1)[:, None]
    near = ring @ values / np.maximum(around, 1)[:, None]
    squares = weights @ (values**2).sum(1) / np.maximum(held, 1)
    whole = _variance(sizes, values)
    there = (held > 0) & (around > 0)
    away = np.where(there, ((inside - near) ** 2).sum(1), 0) / whole
    return [np.sqrt(away), np.maximum(squares - (inside**2).sum(1), 0) / whole]


def _variance(sizes: Array, values: Array) -> float:
    mean = sizes @ values / sizes.sum()
    return float(sizes @ ((values - mean) ** 2).sum(1) / sizes.sum()) + SMALL


def _evidence(
    scene: Scene, flat: Array, area: Array, ring: NDArray[np.bool_], rim: NDArray[np.bool_]
) -> list[Array]:
    """What the encoder's layers say inside, outside and at the outline."""
    count, places = flat.shape
    things, people = scene.things.ravel(), scene.people.ravel()
    full, rest = np.maximum(area, 1), np.maximum(places - area, 1)
    around, within = (part.reshape(count, -1).astype(np.float32) for part in (ring, rim))
    held, total = flat @ things, things.sum()
    half = things >= max(float(things.max()) / 2, SMALL)
    whole = things >= 0.5
    return [
        held / full,
        (total - held) / rest,
        around @ things / np.maximum(around.sum(1), 1),
        within @ things / np.maximum(within.sum(1), 1),
        held / np.maximum(area + total - held, SMALL),
        _iou(flat, area, half),
        _iou(flat, area, whole),
        held / max(float(total), SMALL),
        (flat * things).max(1),
        flat @ people / full,
        flat @ people / max(float(people.sum()), SMALL),
    ]


def _iou(flat: Array, area: Array, other: NDArray[np.bool_]) -> Array:
    shared = flat @ other.astype(np.float32)
    return np.asarray(shared / np.maximum(area + other.sum() - shared, 1), np.float32)
