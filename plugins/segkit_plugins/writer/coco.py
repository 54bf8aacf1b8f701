"""One COCO JSON of all objects, with their masks as run lengths; needs the extra `coco`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segkit import Image, Labels, Masks, MissingExtraError, Prompts, Writer, hookimpl
from segkit_plugins.writer._annotations import (
    ClassIds,
    finished_files,
    objects_in,
    write_json,
    write_photo,
)
from segkit_plugins.writer._pictures import file_for

PARTS = "coco/parts"


class Coco(Writer):
    """`coco/annotations.json` for pycocotools, and the photos in `coco/images`.

    One annotation for each mask, with the score of the mask, or, where the result is a class map
    without masks, one for each of its classes in an image, with score 1. Masks are compressed run
    lengths (`iscrowd` 0), so nothing is lost, overlaps and holes included; `bbox` is x, y, width
    and height, `area` the number of pixels. Empty masks are left out, images without objects stay
    in. Image ids count from 1 by name; category ids are the data set's class ids, names that it
    lacks get the next free ones. The list of annotations also fits `COCO.loadRes`.

    Each image has a file in `coco/parts`, from which the whole is made once all are done.
    """

    name = "coco"

    images: Literal["jpg", "png", "none"] = "jpg"
    """Write the photos too: as JPEG, without loss as PNG, or not (then named as if JPEG)."""

    def open(self, device: str) -> None:
        """Check that pycocotools is there."""
        _run_lengths()

    def write(
        self,
        directory: Path,
        image: Image,
        masks: Masks | None = None,
        prompts: Prompts | None = None,
        labels: Labels | None = None,
        classes: Mapping[int, str] | None = None,
    ) -> tuple[Path, ...]:
        """Write an image's part, and the photo if it is asked for.

        Raises `MissingExtraError` without pycocotools, `UsageError` if there are neither masks nor
        labels.
        """
        rle = _run_lengths()
        part = file_for(directory, PARTS, image.name, ".json")
        found = objects_in(self.name, masks, prompts, labels, classes)
        ids = ClassIds(directory / "coco", classes)
        annotations = []
        for one in found:
            coded = rle.encode(np.asfortranarray(one.mask, np.uint8))
            annotations.append(
                {
                    "category_id": ids.id(one.name, one.wanted),
                    "segmentation": {
                        "size": list(image.size),
                        "counts": coded["counts"].decode("ascii"),
                    },
                    "area": int(rle.area(coded)),
                    "bbox": _box(one.mask),
                    "iscrowd": 0,
                    "score": one.score,
                }
            )
        ids.save()
        suffix = ".png" if self.images == "png" else ".jpg"
        photo = file_for(directory, "coco/images", image.name, suffix)
        height, width = image.size
        head = {"file_name": photo.name, "width": width, "height": height}
        made = [write_json(part, {"image": head, "annotations": annotations})]
        if self.images != "none":
            made.append(write_photo(photo, image))
        return tuple(made)

    def finish(self, directory: Path) -> tuple[Path, ...]:
        """Write `annotations.json` from the parts of all finished images."""
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for file in finished_files(directory, PARTS):
            part = json.loads(file.read_bytes())
            images.append({"id": len(images) + 1, **part["image"]})
            for one in part["annotations"]:
                head = {"id": len(annotations) + 1, "image_id": len(images)}
                annotations.append({**head, **one})
        ids = ClassIds(directory / "coco")
        whole = {
            "info": {"description": "Made by segkit"},
            "licenses": [],
            "images": images,
            "categories": [{"id": i, "name": n, "supercategory": ""} for i, n in ids.names.items()],
            "annotations": annotations,
        }
        return (write_json(directory / "coco/annotations.json", whole), *ids.files)


def _run_lengths() -> Any:
    try:
        from pycocotools import mask
    except ModuleNotFoundError:
        raise MissingExtraError("--write coco", "pycocotools", "coco") from None
    return mask


def _box(mask: NDArray[np.bool_]) -> list[float]:
    """X and y of the first pixel, width and height."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    x, y = columns[0], rows[0]
    return [float(n) for n in (x, y, columns[-1] - x + 1, rows[-1] - y + 1)]


@hookimpl
def segkit_writers() -> Sequence[type[Writer]]:
    """Register `coco`."""
    return [Coco]
