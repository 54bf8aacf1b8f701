"""COCO's ways to write a mask, read: polygons, run lengths, compressed run lengths.

pycocotools checks none of them (run lengths that are too short leave memory as it was in the
mask, four numbers in place of a polygon are taken for a box), so that is done here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit import BadImageError, MissingExtraError


def decode(segmentation: Any, size: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W) bool from the `segmentation` of a COCO annotation, for an image of (H, W) `size`.

    Polygons are lists of x, y, x, y … in pixels from the top-left corner of the image (a pixel's
    centre lies at its index + 0.5); several make one mask together, and what reaches over the
    border is cut off. Run lengths are {'size': [H, W], 'counts': …}, column by column, a run of
    background first; `counts` is a list of numbers, or a string in COCO's compressed form.

    Raises `BadImageError` with what is wrong, to follow the words 'the annotation', and
    `MissingExtraError` for polygons without pycocotools.
    """
    if isinstance(segmentation, dict):
        return _from_runs(segmentation, size)
    if isinstance(segmentation, list) and segmentation:
        return _from_polygons(segmentation, size)
    raise BadImageError("has no segmentation, neither polygons nor run lengths; add it or drop it")


def _from_polygons(polygons: list[Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    api = rasteriser()
    far = 10 * max(size)  # the drawing takes time and memory for every pixel of an edge
    for polygon in polygons:
        if not isinstance(polygon, list) or not all(_is_number(v) for v in polygon):
            raise BadImageError("has a polygon that is no list of finite numbers; correct it")
        if len(polygon) < 6 or len(polygon) % 2:
            raise BadImageError(
                f"has a polygon of {len(polygon)} numbers; give x and y of three points or more"
            )
        if max(map(abs, polygon)) > far:
            raise BadImageError(
                f"has a polygon that reaches to {max(polygon, key=abs):g}, far outside of its "
                f"image of {size[1]}x{size[0]}; correct it"
            )
    parts = api.frPyObjects([[float(v) for v in polygon] for polygon in polygons], *size)
    merged = api.merge(parts)
    # Not api.decode: it warns with newer versions of numpy.
    return _from_runs({"size": list(size), "counts": merged["counts"].decode("ascii")}, size)


def _from_runs(segmentation: dict[str, Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    stated = segmentation.get("size")
    if stated != list(size):
        raise BadImageError(
            f"has run lengths for [height, width] {stated}, but its image is {list(size)}; "
            "make them for the image's own size"
        )
    counts = segmentation.get("counts")
    runs = _decompressed(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(type(run) is int and run >= 0 for run in runs):
        raise BadImageError("has run lengths that are no numbers from 0; write them again")
    if sum(runs) != size[0] * size[1]:
        raise BadImageError(
            f"has run lengths of {sum(runs)} pixels in all, but its image has "
            f"{size[0] * size[1]}; write them again"
        )
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(size, order="F")


def _decompressed(text: str) -> list[int] | None:
    """The numbers of COCO's compressed run lengths; None if it is no such text.

    A number is written five bits a character, the lowest first, offset by 48; bit 5 says that
    more follow, bit 4 of the last is the sign. From the fourth on, a number is the difference to
    the one two places before it.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    return runs if shift == 0 else None


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e300  # which NaN is not


def rasteriser() -> Any:
    """The module `pycocotools.mask`. Raises `MissingExtraError` where it is not installed."""
    try:
        import pycocotools.mask
    except ModuleNotFoundError:
        raise MissingExtraError("--dataset coco", "pycocotools", "coco") from None
    return pycocotools.mask
