"""Detected boxes as prompts: their names, their frame, what is kept of them."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segkit import BadValueError, Prompt, Prompts, UsageError
from segkit_plugins.shared.name_tables import class_names, load_table
from segkit_plugins.shared.renaming import unknown_source

COCO = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat"),
    *("traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog"),
    *("horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella"),
    *("handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite"),
    *("baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle"),
    *("wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich"),
    *("orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch"),
    *("potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote"),
    *("keyboard", "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book"),
    *("clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush"),
)
"""The 80 things of COCO (Lin et al. 2014) in the order in which detectors number them."""


STRIP = 16
"""How many times longer than wide a picture may be as it is."""


def no_strip(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pixels (H, W, 3); of a strip the last row or column is repeated.

    Else its short side would vanish when it is resized.
    """
    least = math.ceil(max(pixels.shape[:2]) / STRIP)
    more = [(0, max(0, least - n)) for n in pixels.shape[:2]]
    return np.pad(pixels, [*more, (0, 0)], mode="edge")


def read_names(given: str) -> tuple[str, ...]:
    """The class names 'coco', or those of a text file with a name a line, number 0 first.

    Raises `UsageError` for a file that is not there or cannot be read, and for a name that comes
    twice.
    """
    return COCO if given == "coco" else class_names((f"{given}",) if given else ())


def renamed(
    names: Sequence[str], table: str | None, classes: Sequence[str], option: str
) -> tuple[str | None, ...]:
    """What each of a model's classes is called in a prompt; None: its boxes are dropped.

    `table`: a name table (see `shared.name_tables`); names that it lacks are dropped. `classes`:
    the names to keep, after the table; empty: all. `option`: how the step's options begin, for
    messages. Raises `UsageError` for a table that cannot be used, keeps none of the names or has
    another one, and for a class to keep that no name becomes.
    """
    targets: list[str | None] = list(names)
    if table is not None:
        target_of = load_table(table)
        targets = [target_of.get(name) for name in names]
        if not any(targets):
            raise UsageError(
                f"{option}.table {table} has none of the model's class names, such as "
                f"'{names[0] if names else ''}'; give the table of its names, or other names"
            )
        if misfit := unknown_source(f"{option}.table", table, target_of, names, "the model"):
            raise UsageError(misfit)
    known = dict.fromkeys(name for name in targets if name is not None)
    for name in classes:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1) or list(known)[:1]
            raise UsageError(
                f"{option}.classes names '{name}', which the detector does not know; "
                f"it has {len(known)} classes, among them '{near[0] if near else ''}'"
            )
    return tuple(name if not classes or name in classes else None for name in targets)


def to_pixels(edges: ArrayLike, size: tuple[int, int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Boxes by their edges as boxes by their first and last pixel, cut at the border of the image.

    `edges`: (n, 4), x and y of the first edge, of the last edge; the image reaches from 0 to
    `size` (H, W). Returns (n, 4) float64 x and y of the first, of the last pixel, and (n,) which
    of them are boxes: finite, not inverted, not wholly outside. A box thinner than a pixel becomes
    one of one pixel around its middle.
    """
    height, width = size
    edges = np.asarray(edges, np.float64).reshape(-1, 4)
    finite = np.asarray(np.isfinite(edges).all(axis=1))
    edges = np.where(finite[:, None], edges, 0)
    first, last = edges[:, :2], edges[:, 2:]
    ends = np.array([width, height], np.float64)
    # On the border counts as inside for a box without area alone, which may lie there.
    meets = (first < ends) & (last > 0)
    thin = (first == last) & (first >= 0) & (last <= ends)
    right: NDArray[np.bool_] = finite & (first <= last).all(axis=1) & (meets | thin).all(axis=1)
    first, last = first.clip(0, ends), last.clip(0, ends)
    middle = ((first + last) / 2 - 0.5).clip(0, ends - 1)
    narrow = last - first < 1
    pixels = np.hstack([np.where(narrow, middle, first), np.where(narrow, middle, last - 1)])
    return pixels, right


def as_prompts(
    edges: ArrayLike,
    scores: ArrayLike,
    numbers: ArrayLike,
    names: Sequence[str | None],
    size: tuple[int, int],
) -> Prompts:
    """A prompt for each detection, best first, equally good ones as they come.

    `edges` (n, 4) as `to_pixels` takes them, `scores` (n,), `numbers` (n,) the classes' places in
    `names`, None there drops the box, and so does one that is no box inside the image of (H, W).
    Raises `BadValueError` for a number that has no name.
    """
    scores, numbers = np.asarray(scores, np.float64), np.asarray(numbers, np.int64)
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(names):
        strange = numbers.max() if numbers.min() >= 0 else numbers.min()
        raise BadValueError(
            f"the detector found class number {strange}, but has {len(names)} class names; give "
            "it the right ones"
        )
    boxes, right = to_pixels(edges, size)
    return Prompts(
        tuple(
            Prompt(box=boxes[i], name=names[numbers[i]], score=float(scores[i]))
            for i in np.argsort(-scores, kind="stable")
            if right[i] and names[numbers[i]] is not None
        )
    )
