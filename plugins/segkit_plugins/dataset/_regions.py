"""Regions that people have drawn: outlines as masks, and all regions of an image as its truth."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segkit import BACKGROUND, VOID, BadImageError, Labels, Truth

Point = tuple[float, float]
"""X and y in pixels; whole numbers are the centres of pixels."""


@dataclass(frozen=True, eq=False)
class Region:
    """A part of an object."""

    label: str
    """Its class."""
    mask: NDArray[np.bool_]
    """(H, W) bool."""
    group: int | str | None = None
    """Regions of one class and one group are one object; None: an object of its own."""


def check_reach(points: Sequence[Point], size: tuple[int, int]) -> None:
    """Raise `BadImageError` for points that are no numbers or far outside of the image (H, W).

    Drawing takes time and memory for every pixel of an edge.
    """
    farthest = max((abs(v) for point in points for v in point), default=0.0)
    if not farthest <= 10 * max(size):
        raise BadImageError(
            f"reaches to {farthest:g}, far outside of its image of {size[1]}x{size[0]}; correct it"
        )


def polygon(points: Sequence[Point], size: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W) bool: a polygon of three points or more, filled with its border."""
    import PIL.Image
    import PIL.ImageDraw

    check_reach(points, size)
    if len(points) < 3:
        raise BadImageError(f"is a polygon of {len(points)} points; give it three or more")
    drawn = PIL.Image.new("1", (size[1], size[0]))
    PIL.ImageDraw.Draw(drawn).polygon(list(points), fill=1, outline=1)
    return np.array(drawn)


def ellipse(
    centre: Point, radii: Point, size: tuple[int, int], degrees: float = 0.0
) -> NDArray[np.bool_]:
    """(H, W) bool: the pixels whose centres an ellipse holds; `degrees`: turned clockwise."""
    check_reach([centre, radii], size)
    rows, columns = np.mgrid[: size[0], : size[1]]
    x, y = columns - centre[0], rows - centre[1]
    turn = math.radians(degrees)
    along = x * math.cos(turn) + y * math.sin(turn)
    across = y * math.cos(turn) - x * math.sin(turn)
    inside = (along * radii[1]) ** 2 + (across * radii[0]) ** 2 <= (radii[0] * radii[1]) ** 2
    return np.asarray(inside)


def truth_of(
    regions: Iterable[Region],
    size: tuple[int, int],
    classes: Mapping[int, str],
    background: str = "",
    void: str = "",
) -> Truth:
    """The class map and the instances of an image (H, W); later regions lie on top.

    Instances are numbered from 1 in order of their first regions, 255 left out. Regions of the
    class `background` clear what is below, and those of the class `void` are void; neither is an
    object. Raises `BadImageError`, to follow the words 'the file', for a class that `classes`
    lacks.
    """
    ids, instances = np.full((2, *size), BACKGROUND, np.int32)
    id_of = {name: i for i, name in classes.items()}
    numbers: dict[tuple[str, int | str], int] = {}
    for place, region in enumerate(regions):
        if region.label in (background, void):
            value = BACKGROUND if region.label == background else VOID
            ids[region.mask] = instances[region.mask] = value
            continue
        if region.label not in id_of:
            raise BadImageError(
                f"has the class '{region.label}', which is not among the class names; name all "
                "classes, each by a flag of its own, or none",
                cause="ids",
            )
        whose = ("", place) if region.group is None else (region.label, region.group)
        number = numbers.setdefault(whose, len(numbers) + 1)
        ids[region.mask] = id_of[region.label]
        instances[region.mask] = number + (number >= VOID)
    return Truth(Labels(ids, classes), instances)


def numbered(labels: Iterable[str]) -> dict[int, str]:
    """{id: class}: from 1 in this order, 255 left out."""
    names = list(dict.fromkeys(labels))
    ids = (i for i in range(1, len(names) + 2) if i != VOID)
    return dict(zip(ids, names, strict=False))
