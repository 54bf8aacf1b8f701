"""Tasks for Label Studio: brush masks as predictions, to be corrected there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from segkit import Writer, hookimpl, write_file
from segkit_plugins.shared import brush_rle
from segkit_plugins.writer._annotations import Annotated, AnnotatedObject, AnnotationWriter
from segkit_plugins.writer._files import (
    file_for,
    finished_files,
    photo_for,
    write_json,
    write_photo,
)

PARTS = "label-studio/parts"

FROM_NAME, TO_NAME = "tag", "image"
"""The tags of the labelling interface that regions belong to."""


class LabelStudio(AnnotationWriter):
    """`label-studio/tasks.json` to import, `config.xml` for the project, and the photos.

    One task for each image. Its prediction has a brush region for each mask, in the run lengths
    of Label Studio's converter, so nothing is lost, overlaps and holes included; each region has
    the mask's `score`, and its `quality` where a judge took part. The prediction's own `score`, by
    which Label Studio sorts tasks, is its least region's quality, or score without a judge, so
    that the most doubtful image comes first; without a region it is 0. Where the result is a class
    map without masks, each of its classes in an image is one region, with score 1. The classes in
    `config.xml` are the data set's in order of their ids, then others by name.

    The photos are found by Label Studio's local files, with the run's folder as the document root.
    Each image has a file in `label-studio/parts`, from which the whole is made once all are done.
    What comes back is read by the data set `label-studio`.
    """

    name = "label-studio"

    images: Literal["jpg", "png", "none"] = "jpg"
    """Write the photos too, to `label-studio/images`: as JPEG, without loss as PNG, or not (then
    named as if JPEG)."""

    address: str = "/data/local-files/?d=label-studio/images/"
    """What stands before a photo's file name in a task: where Label Studio finds the photos, such
    as 's3://bucket/photos/'."""

    model_version: str = "segkit"
    """What the predictions say that they were made by."""

    def annotate(self, directory: Path, annotated: Annotated) -> tuple[Path, ...]:
        """Write an image's part, and the photo if it is asked for."""
        image = annotated.image
        part = file_for(directory, PARTS, image.name, ".json", spread=True)
        photo = photo_for(directory, "label-studio/images", image, self.images, spread=True)
        regions = [
            _region(f"{image.name}-{number}", item, image.size)
            for number, item in enumerate(annotated.objects, 1)
        ]
        doubts = [_said(item) for item in annotated.objects]
        prediction = {
            "model_version": self.model_version,
            "score": min(doubts, default=0.0),
            "result": regions,
        }
        name = photo.relative_to(directory / "label-studio/images").as_posix()
        address = self.address + quote(name, errors="surrogateescape")
        content = {
            "task": {"data": {"image": address}, "predictions": [prediction]},
            "classes": list(dict(sorted((annotated.classes or {}).items())).values()),
        }
        return write_json(part, content), *write_photo(photo, image, self.images)

    def finish(self, directory: Path, images: Sequence[str]) -> tuple[Path, ...]:
        """Write `tasks.json` and `config.xml` from the parts of all finished images."""
        tasks: list[dict[str, Any]] = []
        names: dict[str, None] = {}
        others: set[str] = set()
        for file in finished_files(directory, PARTS, ".json", images, spread=True):
            part = json.loads(file.read_bytes())
            tasks.append(part["task"])
            names |= dict.fromkeys(part["classes"])
            for region in part["task"]["predictions"][0]["result"]:
                others.update(region["value"]["brushlabels"])
        config = _config([*names, *sorted(others - names.keys())])
        return (
            write_json(directory / "label-studio/tasks.json", tasks),
            write_file(directory / "label-studio/config.xml", config),
        )


def _said(item: AnnotatedObject) -> float:
    """How good a mask is, as far as anything has said so."""
    return item.score if item.quality is None else item.quality


def _region(name: str, item: AnnotatedObject, size: tuple[int, int]) -> dict[str, Any]:
    """A brush region as Label Studio's converter makes it."""
    height, width = size
    return {
        "id": name,
        "type": "brushlabels",
        "from_name": FROM_NAME,
        "to_name": TO_NAME,
        "origin": "prediction",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {
            "format": "rle",
            "rle": brush_rle.encode(item.mask),
            "brushlabels": [item.name],
        },
        **item.figures,
    }


def _config(names: Iterable[str]) -> bytes:
    """The labelling interface: a photo, and a brush for each class."""
    labels = "".join(f"    <Label value={_attribute(name)}/>\n" for name in names)
    return (
        "<View>\n"
        f'  <Image name="{TO_NAME}" value="$image" zoom="true" zoomControl="true"/>\n'
        f'  <BrushLabels name="{FROM_NAME}" toName="{TO_NAME}">\n{labels}  </BrushLabels>\n'
        "</View>\n"
    ).encode("ascii", "xmlcharrefreplace")


def _attribute(name: str) -> str:
    """A name as the value of an XML attribute; what XML cannot say is a question mark."""
    kept = (c if c.isprintable() or c in "\t\n" else "?" for c in name)
    return quoteattr("".join(kept))


@hookimpl
def segkit_writers() -> Sequence[type[Writer]]:
    """Register `label-studio`."""
    return [LabelStudio]
