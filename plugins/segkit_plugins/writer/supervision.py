"""The fields of supervision's `Detections` as one .npz an image, masks and class names included."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segkit import Image, Labels, Masks, Prompts, Writer, hookimpl
from segkit_plugins.writer._annotations import ClassIds, objects_in, write_whole
from segkit_plugins.writer._pictures import file_for


class Supervision(Writer):
    """`supervision/NAME.npz`, with all that a `Detections` of the image's objects holds.

    supervision's own files (its CSV and JSON sinks) hold no masks; this file is read back with

        fields = dict(numpy.load("DIR/supervision/NAME.npz"))
        data = {"class_name": fields.pop("class_name")}
        detections = supervision.Detections(**fields, data=data)

    Nothing is lost. `mask` is (n, H, W) bool, overlaps and all. `xyxy` (n, 4) float32 is the first
    and the last pixel, as `supervision.mask_to_xyxy` makes it; `confidence` (n,) float32 the
    mask's score; `class_id` (n,) int64 the data set's class id, or the next free one for a name
    that it lacks (`supervision/classes.json` has all). Where the result is a class map without
    masks, each of its classes in an image is one object, with confidence 1. Empty masks are left
    out; an image without objects has n = 0. The library is not needed for writing.
    """

    name = "supervision"

    def write(
        self,
        directory: Path,
        image: Image,
        masks: Masks | None = None,
        prompts: Prompts | None = None,
        labels: Labels | None = None,
        classes: Mapping[int, str] | None = None,
    ) -> tuple[Path, ...]:
        """Write an image's file. Raises `UsageError` if there are neither masks nor labels."""
        path = file_for(directory, "supervision", image.name, ".npz")
        found = objects_in(self.name, masks, prompts, labels, classes)
        ids = ClassIds(directory / "supervision", classes)
        fields: dict[str, Any] = {
            "xyxy": np.zeros((len(found), 4), np.float32),
            "mask": np.zeros((len(found), *image.size), bool),
            "confidence": np.array([one.score for one in found], np.float32),
            "class_id": np.array([ids.id(one.name, one.wanted) for one in found], np.int64),
            "class_name": np.array([one.name for one in found], np.str_),
        }
        for i, one in enumerate(found):
            columns, rows = np.flatnonzero(one.mask.any(0)), np.flatnonzero(one.mask.any(1))
            fields["xyxy"][i] = columns[0], rows[0], columns[-1], rows[-1]
            fields["mask"][i] = one.mask
        ids.save()
        content = io.BytesIO()
        np.savez_compressed(content, **fields)
        return (write_whole(path, content.getvalue()),)

    def finish(self, directory: Path) -> tuple[Path, ...]:
        """Name `classes.json`, which is there since the first image."""
        return ClassIds(directory / "supervision").files


@hookimpl
def segkit_writers() -> Sequence[type[Writer]]:
    """Register `supervision`."""
    return [Supervision]
