"""One COCO JSON of all objects, with their masks as run lengths; needs the extra `coco`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segkit import MissingExtraError, Writer, hookimpl
from segkit_plugins.writer._annotations import Annotated, AnnotationWriter
from segkit_plugins.writer._files import (
    file_for,
    finished_files,
    photo_for,
    write_json,
    write_photo,
)
from segkit_plugins.writer._numbering import ClassIds, is_part, parts_in
from segkit_plugins.writer._split import TrainShare, divided

PARTS = "coco/parts"


class Coco(AnnotationWriter):
    """`coco/annotations.json` for pycocotools, and the photos in `coco/images`.

    One annotation for each mask, with the mask's `score`, and its `quality` where a judge took
    part; or, where the result is a class map without masks, one for each of its classes in an
    image, with score 1. Masks are compressed run lengths (`iscrowd` 0), so nothing is lost,
    overlaps and holes included; `bbox` is x, y, width and height, `area` the number of pixels.
    Empty masks are left out, images without objects stay in. Image ids count from 1 by name;
    category ids are the data set's class ids, names that it lacks get the next free ones by name.
    The list of annotations also fits `COCO.loadRes`.

    Each image has a file in `coco/parts`, from which the whole is made once all are done.
    """

    name = "coco"

    images: Literal["jpg", "png", "none"] = "jpg"
    """Write the photos too: as JPEG, without loss as PNG, or not (then named as if JPEG)."""

    train_share: TrainShare = None
    """This share of the images is in `annotations_train.json`, the others in
    `annotations_val.json`, under the ids of `annotations.json`, which has all; --split sets it."""

    def open(self, device: str) -> None:
        """Check that pycocotools is there."""
        _run_lengths()

    def annotate(self, directory: Path, annotated: Annotated) -> tuple[Path, ...]:
        """Write an image's part, and the photo if it is asked for.

        Raises `MissingExtraError` without pycocotools.
        """
        rle = _run_lengths()
        image, ids = annotated.image, annotated.ids
        part = file_for(directory, PARTS, image.name, ".json", spread=True)
        annotations = []
        for item in annotated.objects:
            ids.id(item.name, item.wanted)
            coded = rle.encode(np.asfortranarray(item.mask, np.uint8))
            annotations.append(
                {
                    "category": item.name,
                    "segmentation": {
                        "size": list(image.size),
                        "counts": coded["counts"].decode("ascii"),
                    },
                    "area": int(rle.area(coded)),
                    "bbox": _box(item.mask),
                    "iscrowd": 0,
                    **item.figures,
                }
            )
        ids.save()
        photo = photo_for(directory, "coco/images", image, self.images, spread=True)
        height, width = image.size
        name = photo.relative_to(directory / "coco/images").as_posix()
        head = {"file_name": name, "width": width, "height": height}
        written = write_json(part, {"image": head, "annotations": annotations, **ids.part})
        return written, *write_photo(photo, image, self.images)

    def is_intact(self, directory: Path, path: Path) -> bool:
        """Parts are looked into; what stands in no part is made of them."""
        if not path.is_relative_to(directory / PARTS):
            return super().is_intact(directory, path)
        part = json.loads(path.read_bytes())
        return is_part(path) and {"image", "annotations"} <= part.keys()

    def finish(self, directory: Path, images: Sequence[str]) -> tuple[Path, ...]:
        """Write `annotations.json` from the parts of all finished images, and train and val."""
        ids = ClassIds(directory / "coco")
        if parts := parts_in(directory, PARTS, images):
            ids.settle(parts)
        photos: dict[str, dict[str, Any]] = {}
        annotations: list[dict[str, Any]] = []
        for file in finished_files(directory, PARTS, ".json", images, spread=True):
            part = json.loads(file.read_bytes())
            photos[file.stem] = {"id": len(photos) + 1, **part["image"]}
            for one in part["annotations"]:
                head = {"id": len(annotations) + 1, "image_id": len(photos)}
                # Parts of segkit 0.1.0 have the id in place of the name.
                own, category = one.pop("category_id", None), one.pop("category", None)
                own = own if category is None else ids.id(category)
                annotations.append({**head, "category_id": own, **one})
        sets = {"annotations.json": list(photos)}
        if self.train_share is not None:
            sides = divided(photos, self.train_share)
            sets |= {f"annotations_{side}.json": some for side, some in sides.items()}
        categories = [{"id": i, "name": n, "supercategory": ""} for i, n in ids.names.items()]
        written = []
        for name, some in sets.items():
            own = [photos[stem] for stem in some]
            there = {image["id"] for image in own}
            whole = {
                "info": {"description": "Made by segkit"},
                "licenses": [],
                "images": own,
                "categories": categories,
                "annotations": [one for one in annotations if one["image_id"] in there],
            }
            written.append(write_json(directory / "coco" / name, whole))
        return (*written, *ids.files)


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
