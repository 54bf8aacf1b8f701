"""The fields of supervision's `Detections` as one .npz an image, masks and class names included."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segkit import Writer, hookimpl, write_file
from segkit_plugins.writer._annotations import Annotated, AnnotationWriter
from segkit_plugins.writer._files import file_for, write_json
from segkit_plugins.writer._numbering import ClassIds, is_part, knows_classes, parts_in

PARTS = "supervision/parts"


class Supervision(AnnotationWriter):
    """`supervision/NAME.npz`, with all that a `Detections` of the image's objects holds.

    supervision's own files (its CSV and JSON sinks) hold no masks; this file is read back with

        fields = dict(numpy.load("DIR/supervision/NAME.npz"))
        data = {name: fields.pop(name) for name in ("class_name", "quality") if name in fields}
        detections = supervision.Detections(**fields, data=data)

    Nothing is lost. `mask` is (n, H, W) bool, overlaps and all. `xyxy` (n, 4) float32 is the first
    and the last pixel, as `supervision.mask_to_xyxy` makes it; `confidence` (n,) float32 the
    mask's score; `quality` (n,) float32, there where a judge took part, what it says; `class_id`
    (n,) int64 the data set's class id, names that it lacks get the next free ones by name:
    `supervision/classes.json` has all, `supervision/parts` what an image adds.
    Where the result is a class map without masks, each of its classes in an image is one object,
    with confidence 1. Empty masks are left out; an image without objects has n = 0. The library is
    not needed for writing.
    """

    name = "supervision"

    def annotate(self, directory: Path, annotated: Annotated) -> tuple[Path, ...]:
        """Write an image's file, and a part where it has classes that the data set lacks."""
        image, objects, ids = annotated.image, annotated.objects, annotated.ids
        path = file_for(directory, "supervision", image.name, ".npz")
        part = file_for(directory, PARTS, image.name, ".json", spread=True)
        fields: dict[str, Any] = {
            "xyxy": np.zeros((len(objects), 4), np.float32),
            "mask": np.zeros((len(objects), *image.size), bool),
            "confidence": np.array([item.score for item in objects], np.float32),
            "class_id": np.array([ids.id(item.name, item.wanted) for item in objects], np.int64),
            "class_name": np.array([item.name for item in objects], np.str_),
        }
        if annotated.judged:
            fields["quality"] = np.array([item.quality for item in objects], np.float32)
        for i, item in enumerate(objects):
            columns, rows = np.flatnonzero(item.mask.any(0)), np.flatnonzero(item.mask.any(1))
            fields["xyxy"][i] = columns[0], rows[0], columns[-1], rows[-1]
            fields["mask"][i] = item.mask
        ids.save()
        kept = [write_json(part, ids.part)] if ids.others else []
        return _packed(path, fields), *kept

    def is_intact(self, directory: Path, path: Path) -> bool:
        """Parts are looked into, and without the class ids no file is of use."""
        if not knows_classes(directory / self.name):
            return False
        return is_part(path) if path.suffix == ".json" else super().is_intact(directory, path)

    def finish(self, directory: Path, images: Sequence[str]) -> tuple[Path, ...]:
        """Write again what has a class with another id, now that all are known."""
        ids = ClassIds(directory / "supervision")
        parts = parts_in(directory, PARTS, images)
        if parts:
            ids.settle(parts)
        for part in parts:
            path = directory / f"supervision/{part.stem}.npz"
            with np.load(path) as file:
                fields = dict(file)
            settled = np.array([ids.id(str(name)) for name in fields["class_name"]], np.int64)
            if not np.array_equal(fields["class_id"], settled):
                _packed(path, {**fields, "class_id": settled})
        return ids.files


def _packed(path: Path, fields: Mapping[str, Any]) -> Path:
    """Write arrays as an .npz file."""
    content = io.BytesIO()
    np.savez_compressed(content, **fields)
    return write_file(path, content.getvalue())


@hookimpl
def segkit_writers() -> Sequence[type[Writer]]:
    """Register `supervision`."""
    return [Supervision]
