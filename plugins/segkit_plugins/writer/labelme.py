"""Polygons to look at and correct in labelme: one JSON beside each photo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat

from segkit import Writer, hookimpl
from segkit_plugins.writer import _annotations
from segkit_plugins.writer._contours import polygons, without_specks
from segkit_plugins.writer._files import file_for, photo_for, write_json, write_photo

VERSION = "5.5.0"
"""The version of labelme whose files these are like."""


class Labelme(_annotations.AnnotationWriter):
    """`labelme/NAME.json`, for labelme, with the photo beside it.

    Each part of an object is a polygon through the middles of its outermost pixels, made of few
    vertices that a hand can drag: it leaves the mask's edge by up to three quarters of a pixel, and
    islands and holes of less than a hundredth of the object are gone. With `tolerance` 0 and
    `least-part` 0 nothing is lost: filling the polygons with their border, as labelme does, gives
    the mask back. The parts of one object share a `group_id`. A hole is cut out by a seam from its
    left side. Overlaps stay, and each polygon has the mask's `score`, and its `quality` where a
    judge took part. Where the result is a class map without masks, each of its classes in an image
    is one object, with score 1.
    """

    name = "labelme"

    images: Literal["jpg", "png", "none"] = "jpg"
    """Write the photos too: as JPEG, without loss as PNG, or not. labelme opens none of the files
    before a photo of that name (NAME.jpg) lies beside it."""

    tolerance: NonNegativeFloat = 0.75
    """How far a polygon may leave the mask's edge, in pixels; 0 keeps each corner of each pixel."""

    least_part: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Islands of an object and holes in it with less than this share of its pixels are left out and
    filled; its largest part stays. 0 keeps all."""

    def annotate(self, directory: Path, annotated: _annotations.Annotated) -> tuple[Path, ...]:
        """Write an image's JSON, and the photo if it is asked for."""
        image = annotated.image
        path = file_for(directory, "labelme", image.name, ".json")
        photo = photo_for(directory, "labelme", image, self.images)
        shapes: list[dict[str, Any]] = []
        for number, item in enumerate(annotated.objects, 1):
            parts = polygons(without_specks(item.mask, self.least_part), self.tolerance)
            shapes += [
                {
                    "label": item.name,
                    "points": part.astype(float).tolist(),
                    "group_id": number if len(parts) > 1 else None,
                    "description": "",
                    "shape_type": "polygon",
                    "flags": {},
                    "mask": None,
                    **item.figures,
                }
                for part in parts
            ]
        height, width = image.size
        content: dict[str, Any] = {
            "version": VERSION,
            "flags": {},
            "shapes": shapes,
            "imagePath": photo.name,
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
        return write_json(path, content), *write_photo(photo, image, self.images)


@hookimpl
def segkit_writers() -> Sequence[type[Writer]]:
    """Register `labelme`."""
    return [Labelme]
