"""Masks as polygons, for formats that hold nothing else.

A polygon here is an (n, 2) int array of x and y, closed without repeating its first vertex, whose
vertices are the centres of the mask's own outermost pixels. So a reader that fills a polygon with
its border (OpenCV's fillPoly, Pillow's polygon) gets the mask back pixel for pixel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Polygon = NDArray[np.int64]
"""(n, 2) int64: x and y in pixels of the image, n at least 3; vertices may repeat."""


def polygons(mask: NDArray[np.bool_], tolerance: float = 0.0) -> list[Polygon]:
    """One polygon for each part of a mask (H, W) bool; no polygon for an empty mask.

    Pixels that touch by a corner are of one part. A hole is cut out by a seam: the polygon runs
    along a row of pixels to the hole, around it and back, which the even-odd rule leaves empty.

    `tolerance`: how far, in pixels, the polygon may leave the mask's edge to save vertices
    (Douglas and Peucker 1973); with 0 nothing is lost. The longest outline comes first.
    """
    from skimage.measure import find_contours

    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return []
    first = np.array([columns[0], rows[0]])
    part = np.pad(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1)
    edges = [e[:-1] for e in find_contours(part.astype(np.float32), 0.5, fully_connected="high")]
    shapes = []
    for ring in sorted(_joined(part, edges), key=len, reverse=True):
        polygon = _corners(ring - 1)
        if tolerance > 0:
            polygon = _simplified(polygon, tolerance)
        shapes.append(_at_least_three(polygon) + first)
    return shapes


def without_specks(mask: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
    """The mask (H, W) bool without parts, and with no holes, of less than `share` of its pixels.

    Pixels that touch by a corner are of one part. The largest part stays in any case.
    """
    from scipy import ndimage

    if share <= 0 or not mask.any():
        return mask
    least = share * np.count_nonzero(mask)
    parts, _ = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    kept = (sizes >= min(least, sizes.max()))[parts] & mask
    holes, _ = ndimage.label(np.pad(~kept, 1, constant_values=True))
    small = np.bincount(holes.ravel()) < least
    small[[0, holes[0, 0]]] = False  # the mask, and what is around it
    return np.asarray(kept | small[holes[1:-1, 1:-1]])


def one_polygon(parts: list[Polygon]) -> Polygon:
    """The parts of one object as a single polygon.

    Straight lines there and back, one pixel wide, tie the parts together, where they are nearest
    and so that the lines are shortest in all (Prim 1957). Raises `ValueError` without a part.
    """
    from scipy.spatial import KDTree

    if not parts:
        raise ValueError("an object without parts has no polygon")
    outlines = [_pixels(part) for part in parts]
    points = np.concatenate([pixels for pixels, _ in outlines])
    owner = np.repeat(np.arange(len(parts)), [len(pixels) for pixels, _ in outlines])
    place = np.concatenate([np.arange(len(pixels)) for pixels, _ in outlines])
    best = np.full(len(points), np.inf)  # distance to what is tied already, …
    there = np.zeros((len(points), 2), np.int64)  # … the part and the pixel of it
    tied: list[tuple[int, int, int, int]] = []
    part = 0
    while (open_ := owner != part).any():
        points, owner, place, best, there = (a[open_] for a in (points, owner, place, best, there))
        distances, places = KDTree(outlines[part][0]).query(points)
        nearer = distances < best
        best[nearer] = distances[nearer]
        there[nearer] = np.stack([np.full(nearer.sum(), part), places[nearer]], axis=1)
        nearest = int(best.argmin())
        part = int(owner[nearest])
        other, there_at = there[nearest].tolist()
        tied.append((part, int(place[nearest]), other, there_at))
    ties: list[list[tuple[int, Polygon]]] = [[] for _ in parts]
    for part, start, other, there_at in reversed(tied):  # what hangs on a part comes before it
        ties[other].append((there_at, _loop_of(outlines[part], ties[part], start)))
    return _loop_of(outlines[0], ties[0], 0)[:-1]


def _loop_of(
    outline: tuple[Polygon, NDArray[np.int64]], ties: list[tuple[int, Polygon]], start: int
) -> Polygon:
    """A part with what is tied to it, from a pixel of its outline around to it again."""
    pixels, corners = outline
    kept = np.union1d(corners, [start, *(place for place, _ in ties)]).astype(np.int64)
    moved = [(int(np.searchsorted(kept, place)), loop) for place, loop in ties]
    return _tied_loop(pixels[kept], moved, int(np.searchsorted(kept, start)))


def _joined(part: NDArray[np.bool_], edges: list[NDArray[np.float64]]) -> list[Polygon]:
    """One ring for each outer edge, with its holes tied in, as (n, 2) x and y.

    `edges`: closed lines of rows and columns, each vertex half way between a pixel of the mask and
    one beside it that is not. A hole's leftmost pixel has the mask on its left; the row of mask
    pixels there ends at an edge that lies further left, an outer one or that of another hole, and
    along this row goes the seam.
    """
    rings: list[Polygon] = []
    starts: dict[tuple[int, int], tuple[int, int]] = {}
    for number, edge in enumerate(edges):
        low, high = np.floor(edge).astype(np.int64), np.ceil(edge).astype(np.int64)
        inside = np.where(part[low[:, 0], low[:, 1]][:, None], low, high)
        rings.append(inside[:, ::-1])
        left = np.flatnonzero(edge[:, 1] < inside[:, 1])  # background on the pixel's left
        starts |= {(int(inside[i, 0]), int(inside[i, 1])): (number, int(i)) for i in left}
    blank = np.where(part, -1, np.arange(part.shape[1]))
    before = np.maximum.accumulate(blank, axis=1)  # the last background column up to a pixel
    ties: list[list[tuple[int, Polygon]]] = [[] for _ in edges]
    outer = []
    # From right to left: a ring is complete when it is tied to one further left.
    for number in sorted(range(len(edges)), key=lambda n: -float(edges[n][:, 1].min())):
        leftmost = int(edges[number][:, 1].argmin())
        x, y = rings[number][leftmost]
        if edges[number][leftmost, 1] < x:
            outer.append(_with_loops(rings[number], ties[number]))
            continue
        owner, place = starts[int(y), int(before[y, x]) + 1]
        loop = _tied_loop(rings[number], ties[number], leftmost)
        ties[owner].append((place, loop))
    return outer


def _tied_loop(ring: Polygon, ties: list[tuple[int, Polygon]], start: int) -> Polygon:
    """The ring with its own loops, from vertex `start` around to it again."""
    turned = [((place - start) % len(ring), loop) for place, loop in ties]
    return _with_loops(_loop(ring, start), turned)


def _loop(ring: Polygon, start: int) -> Polygon:
    """The ring from vertex `start` around to it again."""
    return np.concatenate([ring[start:], ring[: start + 1]])


def _with_loops(ring: Polygon, ties: list[tuple[int, Polygon]]) -> Polygon:
    """The ring with a detour at some vertices: through a loop, and back to the vertex."""
    pieces, done = [], 0
    for place, loop in sorted(ties, key=lambda tie: tie[0]):
        pieces += [ring[done : place + 1], loop]
        done = place
    return np.concatenate([*pieces, ring[done:]])


def _pixels(polygon: Polygon) -> tuple[Polygon, NDArray[np.int64]]:
    """All pixels along a polygon (m, 2), and which of them are its vertices (n,)."""
    go = np.roll(polygon, -1, axis=0) - polygon
    steps = np.maximum(np.abs(go).max(1), 1)
    corners = np.cumsum(steps) - steps
    done = (np.arange(steps.sum()) - np.repeat(corners, steps)) / np.repeat(steps, steps)
    way = np.rint(np.repeat(go, steps, axis=0) * done[:, None]).astype(np.int64)
    return np.repeat(polygon, steps, axis=0) + way, corners


def _corners(ring: Polygon) -> Polygon:
    """The ring without vertices that repeat the last one or lie on the way to the next."""
    new = (ring != np.roll(ring, 1, axis=0)).any(1)
    if new.sum() < 3:
        return ring[new] if new.any() else ring[:1]
    ring = ring[new]
    come, go = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    straight = come[:, 0] * go[:, 1] == come[:, 1] * go[:, 0]
    return ring[~(straight & ((come * go).sum(1) > 0))]


def _simplified(polygon: Polygon, tolerance: float) -> Polygon:
    from skimage.measure import approximate_polygon

    closed = np.concatenate([polygon, polygon[:1]])
    return np.asarray(approximate_polygon(closed, tolerance)[:-1], np.int64)


def _at_least_three(polygon: Polygon) -> Polygon:
    """A pixel and a line of pixels are polygons too, with a vertex said again."""
    missing = max(0, 3 - len(polygon))
    return np.concatenate([polygon, np.repeat(polygon[-1:], missing, axis=0)])
