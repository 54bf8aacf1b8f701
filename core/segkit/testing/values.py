"""The values that the kit hands to plugins: an ordinary picture, and pictures at every edge.

Each picture comes with everything that a step may ask for: a heatmap, prompts, candidate masks,
masks, a class map, the truth and the classes, all of one size and telling one story. All of it is
computed from the picture's name, so it is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.testing.asking import digest
from segkit.values.types import VOID, Heatmap, Image, Labels, Masks, Prompt, Prompts, Truth

SIZE = (26, 38)
"""(H, W) of the ordinary picture: not square, so that x and y cannot be mixed up unseen."""

CLASSES = {1: "cat", 2: "dog", 3: "bird"}
"""The classes of the data set that the pictures pretend to come from."""

Values = dict[str, Any]


def values(name: str, huge: tuple[int, int] = (480, 640)) -> Values:
    """All values of a picture, by the names under which steps ask for them, and `candidates`."""
    key = name, huge
    if key not in _MADE:
        sizes = {"one-pixel": (1, 1), "one-row": (1, 9), "one-column": (9, 1), "huge": huge}
        sizes["taller"] = (34, 20)
        made = _ordinary(name, sizes.get(name, SIZE), seed=0 if name == "ordinary" else len(name))
        made |= EDGES[name][1](made) if name in EDGES else {}
        _MADE[key] = made, digest(made)
    return dict(_MADE[key][0])


_MADE: dict[tuple[str, tuple[int, int]], tuple[Values, str]] = {}
"""What was made already, with fingerprints."""


def forget_changed() -> None:
    """Drop the values that a plugin has written into, so that the next one gets them as made."""
    for key, (made, before) in [*_MADE.items()]:
        if digest(made) != before:
            del _MADE[key]


def _ordinary(name: str, size: tuple[int, int], seed: int) -> Values:
    """Two objects on a soft background: a cat to the left, a smaller dog at the lower right."""
    rng = np.random.default_rng(seed)
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float64)
    shift = 0.03 * (seed % 4)
    centres = [
        ((0.3 + shift) * (width - 1), 0.4 * (height - 1)),
        (0.78 * (width - 1), (0.7 - shift) * (height - 1)),
    ]
    reaches = [(0.17 * width + 0.3, 0.22 * height + 0.3), (0.12 * width + 0.3, 0.17 * height + 0.3)]
    away = [
        np.hypot((x - cx) / rx, (y - cy) / ry)
        for (cx, cy), (rx, ry) in zip(centres, reaches, strict=True)
    ]
    objects = [a <= 1 for a in away]
    objects[1] &= ~objects[0]
    pixels = np.stack([90 + 60 * x / width, 80 + 50 * y / height, 0 * x + 60], axis=2)
    pixels[objects[0]] = 220, 120, 40
    pixels[objects[1]] = 40, 90, 210
    pixels = np.clip(pixels + rng.normal(0, 8, pixels.shape), 0, 255).astype(np.uint8)
    # No two pixels are equally hot, so nothing hangs on how equals are told apart.
    uneven = 0.02 * rng.permutation(x.size).reshape(size) / x.size
    heat = [np.exp(-(a**2)) * 0.95 + uneven for a in away]
    heatmaps = tuple(
        Heatmap(h.astype(np.float32), name, score)
        for h, name, score in zip(heat, ("cat", "dog"), (0.8, 0.6), strict=True)
    )
    ids = np.zeros(size, np.int32)
    ids[objects[0]], ids[objects[1]] = 1, 2
    instances = ids.copy()
    points = [np.rint(c) for c in centres]
    first, last = points[1] - 1, points[1] + 1
    box = [*np.maximum(first, 0), *np.minimum(last, [width - 1, height - 1])]
    prompts = Prompts(
        (
            Prompt(points=[points[0]], name="cat", score=0.8),
            Prompt(points=[points[1], points[0]], signs=[True, False], box=box, name="dog"),
        )
    )
    candidates = _candidates(away)
    return {
        "image": Image(pixels, name),
        "heatmap": heatmaps[0],
        "heatmaps": heatmaps,
        "prompts": prompts,
        "candidates": candidates,
        "masks": candidates.take([1, 4]),
        "labels": Labels(ids, CLASSES),
        "classes": dict(CLASSES),
        "truth": Truth(Labels(ids, CLASSES), instances),
        "scores": {"iou": 0.5},
    }


def _candidates(away: list[NDArray[np.float64]]) -> Masks:
    """Three masks for each of two prompts: too small, right, too large; all of them different."""
    logits = [8 * (reach - a) for a in away for reach in (0.6, 1.0, 1.5)]
    return Masks(
        np.stack([one > 0 for one in logits]),
        [0.5, 0.9, 0.7, 0.65, 0.85, 0.4],
        [0, 0, 0, 1, 1, 1],
        logits=np.stack(logits).astype(np.float32),
    )


def _heat(make: Callable[[NDArray[np.float32]], None], start: float = 0.0) -> Any:
    """An edge that is about the heatmap: `make` writes into one that holds `start` everywhere."""

    def changed(made: Values) -> Values:
        heat = np.full(made["image"].size, start, np.float32)
        make(heat)
        heatmap = Heatmap(heat, "cat", 0.8)
        return {"heatmap": heatmap, "heatmaps": (heatmap, *made["heatmaps"][1:])}

    return changed


def _set(*places: tuple[int, int], to: float = 1.0) -> Callable[[NDArray[np.float32]], None]:
    """Writes one value at these (row, column)."""

    def write(heat: NDArray[np.float32]) -> None:
        for place in places:
            heat[place] = to

    return write


def _pixels(make: Callable[[tuple[int, ...]], Any]) -> Any:
    def changed(made: Values) -> Values:
        shape = made["image"].pixels.shape
        pixels = np.broadcast_to(make(shape), shape).astype(np.uint8)
        return {"image": Image(pixels, made["image"].name)}

    return changed


def _asked(*prompts: Prompt) -> Any:
    """An edge that is about prompts; every one of them has the candidates of the first object."""

    def changed(made: Values) -> Values:
        found = made["candidates"]
        parts = [found.take([0, 1, 2]) for _ in prompts]
        if not parts:
            nothing = Masks.none(made["image"].size)
            return {"prompts": Prompts(), "candidates": nothing, "masks": nothing}
        candidates = Masks(
            np.concatenate([m.masks for m in parts]),
            np.concatenate([m.scores for m in parts]),
            np.repeat(np.arange(len(parts)), 3),
        )
        masks = candidates.take(np.arange(len(parts)) * 3 + 1)
        return {"prompts": Prompts(prompts), "candidates": candidates, "masks": masks}

    return changed


def _masked(value: bool | None) -> Any:
    """An edge that is about masks: all empty, all full, or without logits."""

    def changed(made: Values) -> Values:
        given: Values = {}
        for key in ("candidates", "masks"):
            m = made[key]
            masks = m.masks if value is None else np.full_like(m.masks, value)
            logits = None if value is None else np.full_like(m.logits, 5.0 if value else -5.0)
            given[key] = Masks(masks, m.scores, m.prompt, m.names, logits)
        return given

    return changed


def _judged(masks: Masks) -> Masks:
    """The masks with a quality that puts them in another order than their scores do."""
    return replace(masks, quality=1 - masks.scores)


def _true(value: int) -> Any:
    def changed(made: Values) -> Values:
        ids = np.full(made["image"].size, value, np.int32)
        return {"truth": Truth(Labels(ids, CLASSES), ids)}

    return changed


def _nameless(made: Values) -> Values:
    """A data set that knows no classes, and values without names."""
    ids = (made["labels"].ids > 0).astype(np.int32)
    heatmaps = tuple(Heatmap(h.values) for h in made["heatmaps"])
    prompts = tuple(Prompt(p.points, p.signs, p.box, p.mask) for p in made["prompts"])
    return {
        "classes": {},
        "labels": Labels(ids),
        "truth": Truth(Labels(ids)),
        "heatmaps": heatmaps,
        "heatmap": heatmaps[0],
        "prompts": Prompts(prompts),
    }


def _voids(made: Values) -> Values:
    ids = made["truth"].labels.ids.copy()
    ids[:3] = VOID
    return {"truth": Truth(Labels(ids, CLASSES), ids), "labels": Labels(ids, CLASSES)}


_RIGHT, _LOW = SIZE[1] - 1, SIZE[0] - 1
ANY = frozenset({"image", "heatmap", "heatmaps", "prompts", "masks", "labels", "truth"})
"""What an edge is about that concerns everything, such as the picture's size."""
_HEAT = frozenset({"heatmap", "heatmaps"})
_MASKS = frozenset({"masks"})
_PROMPTS = frozenset({"prompts", "masks"})

EDGES: dict[str, tuple[frozenset[str], Callable[[Values], Values]]] = {
    "one-pixel": (ANY, lambda made: {}),
    "one-row": (ANY, lambda made: {}),
    "one-column": (ANY, lambda made: {}),
    "huge": (ANY, lambda made: {}),
    "black": (frozenset({"image"}), _pixels(lambda shape: 0)),
    "white": (frozenset({"image"}), _pixels(lambda shape: 255)),
    "noise": (
        frozenset({"image"}),
        _pixels(lambda shape: np.random.default_rng(1).integers(0, 256, shape)),
    ),
    "no-heat": (_HEAT, _heat(_set())),
    "even-heat": (_HEAT, _heat(_set(), 0.5)),
    "full-heat": (_HEAT, _heat(_set(), 1.0)),
    "faint-heat": (_HEAT, _heat(_set((9, 4), to=1e-40))),
    "one-hot-pixel": (_HEAT, _heat(_set((9, 4)))),
    "hot-first-pixel": (_HEAT, _heat(_set((0, 0)))),
    "hot-last-pixel": (_HEAT, _heat(_set((_LOW, _RIGHT)))),
    "one-cold-pixel": (_HEAT, _heat(_set((9, 4), to=0.0), 1.0)),
    "equal-maxima": (_HEAT, _heat(_set((3, 4), (3, 30), (20, 4), (20, 30)))),
    "no-prompts": (_PROMPTS, _asked()),
    "prompts-at-the-border": (
        _PROMPTS,
        _asked(
            Prompt(points=[(0, 0), (_RIGHT, _LOW), (0, _LOW)], signs=[True, True, False]),
            Prompt(box=[0, 0, _RIGHT, _LOW]),
        ),
    ),
    "box-of-one-pixel": (_PROMPTS, _asked(Prompt(box=[4, 9, 4, 9]))),
    "between-pixels": (_PROMPTS, _asked(Prompt(points=[(4.5, 9.25), (-0.5, -0.5)]))),
    "only-background-points": (_PROMPTS, _asked(Prompt(points=[(4, 9)], signs=[False]))),
    "empty-masks": (_MASKS, _masked(False)),
    "full-masks": (_MASKS, _masked(True)),
    "no-logits": (_MASKS, _masked(None)),
    "judged": (_MASKS, lambda made: {key: _judged(made[key]) for key in ("candidates", "masks")}),
    "no-object": (frozenset({"truth"}), _true(0)),
    "all-void": (frozenset({"truth"}), _true(VOID)),
    "some-void": (frozenset({"truth", "labels"}), _voids),
    "no-classes": (ANY | {"classes"}, _nameless),
}
"""Name of a picture to what it is about, and how it differs from the ordinary one."""

PICTURES = ("ordinary", "other", "taller", *EDGES)
"""The names of all pictures. 'ordinary' and 'other' have the same size."""


# ---- the same values, mirrored ----------------------------------------------------------------

MIRRORS = ("left and right", "top and bottom", "x and y")
"""What can be swapped without the content of a picture changing."""


def mirrored(value: Any, how: str, size: tuple[int, int]) -> Any:
    """The same value of a picture of (H, W) that is mirrored; what has no place in it stays."""
    if isinstance(value, Image):
        return Image(np.ascontiguousarray(_mirror(value.pixels, how, (0, 1))), value.name)
    if isinstance(value, Heatmap):
        return Heatmap(_mirror(value.values, how, (0, 1)), value.name, value.score)
    if isinstance(value, Labels):
        return Labels(_mirror(value.ids, how, (0, 1)), value.classes)
    if isinstance(value, Truth):
        found = value.instances
        instances = None if found is None else _mirror(found, how, (0, 1))
        return Truth(mirrored(value.labels, how, size), instances)
    if isinstance(value, Masks):
        logits = None if value.logits is None else _mirror(value.logits, how, (1, 2))
        masks = _mirror(value.masks, how, (1, 2))
        return replace(value, masks=masks, logits=logits)
    if isinstance(value, Prompt):
        points = _moved(value.points, how, size)
        mask = None if value.mask is None else _mirror(value.mask, how, (0, 1))
        box = None
        if value.box is not None:
            corners = _moved(value.box.reshape(2, 2), how, size)
            box = [*corners.min(axis=0), *corners.max(axis=0)]
        return Prompt(points, value.signs, box, mask, value.name, value.score)
    if isinstance(value, Prompts):
        return Prompts(tuple(mirrored(p, how, size) for p in value))
    if isinstance(value, tuple):
        return tuple(mirrored(v, how, size) for v in value)
    return value


def _mirror(array: NDArray[Any], how: str, axes: tuple[int, int]) -> NDArray[Any]:
    if how == "x and y":
        return np.swapaxes(array, *axes).copy()
    return np.flip(array, axes[1] if how == "left and right" else axes[0]).copy()


def _moved(points: NDArray[np.float32], how: str, size: tuple[int, int]) -> NDArray[np.float32]:
    """Points (n, 2) of a mirrored picture; whole numbers are pixel centres."""
    if how == "x and y":
        return points[:, ::-1].copy()
    moved = points.copy()
    axis = 0 if how == "left and right" else 1
    moved[:, axis] = size[1 - axis] - 1 - moved[:, axis]
    return moved
