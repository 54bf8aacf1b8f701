"""PASCAL VOC's layout: class maps and objects as palette PNGs, photos, and the list of images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from segkit import (
    BACKGROUND,
    VOID,
    BadValueError,
    Writer,
    hookimpl,
    palette,
    write_file,
    write_png,
)
from segkit_plugins.writer._annotations import Annotated, AnnotationWriter, ClassIds, named_ids
from segkit_plugins.writer._files import (
    file_for,
    finished_files,
    photo_for,
    write_photo,
)

ROOT = "voc/VOCdevkit/VOC2012"


class Voc(AnnotationWriter):
    """`voc/VOCdevkit/VOC2012`, laid out as VOC 2012 is.

    torchvision reads it: `VOCSegmentation("DIR/voc", image_set="trainval")`.

    `SegmentationClass/NAME.png` holds class ids (0 background, 255 void): those of the class map,
    or, where the result is masks alone, the masks painted in order, later ones on top.
    `SegmentationObject/NAME.png` numbers the objects from 1, each where the class map has its
    class, later ones on top; classes of a class map without masks are one object each. So overlaps
    and scores are lost; every pixel's class is kept. No void border is drawn around objects.

    Class ids are the data set's, names that it lacks get the next free ones; `voc/classes.json`
    has all of them.
    """

    name = "voc"

    images: Literal["jpg", "none"] = "jpg"
    """Write the photos too, as JPEG in `JPEGImages`, where readers look for them; or not."""

    image_set: Literal["train", "val", "trainval"] = "trainval"
    """The list in `ImageSets/Segmentation` that names the images."""

    def annotate(self, directory: Path, annotated: Annotated) -> tuple[Path, ...]:
        """Write an image's two PNGs, and the photo if it is asked for.

        Raises `BadValueError` for class ids above 255 and for more than 254 objects, which a PNG
        has not.
        """
        image, ids = annotated.image, annotated.ids
        by_class = file_for(directory, f"{ROOT}/SegmentationClass", image.name, ".png")
        by_object = file_for(directory, f"{ROOT}/SegmentationObject", image.name, ".png")
        photo = photo_for(directory, f"{ROOT}/JPEGImages", image, self.images)
        class_map = _class_map(annotated)
        if (class_map > 255).any():
            raise BadValueError(
                f"a VOC class map should hold class ids up to 255, but {image.name} has "
                f"{class_map.max()}; number the data set's classes from 1"
            )
        numbers = _numbered(annotated, class_map)
        ids.save()
        write_png(by_class, class_map.astype(np.uint8), palette())
        write_png(by_object, numbers.astype(np.uint8), palette())
        return by_class, by_object, *write_photo(photo, image, self.images)

    def finish(self, directory: Path) -> tuple[Path, ...]:
        """Write the list of finished images."""
        stems = [p.stem for p in finished_files(directory, f"{ROOT}/SegmentationClass")]
        listed = directory / ROOT / "ImageSets/Segmentation" / f"{self.image_set}.txt"
        content = b"".join(os.fsencode(stem) + b"\n" for stem in stems)
        return (write_file(listed, content), *ClassIds(directory / "voc").files)


def _class_map(annotated: Annotated) -> NDArray[np.int32]:
    """(H, W): the class map with the run's ids, or without one the masks painted in order."""
    labels, ids = annotated.labels, annotated.ids
    class_map = np.zeros(annotated.image.size, np.int32)
    if labels is None:
        for item in annotated.objects:
            class_map[item.mask] = ids.id(item.name)
        return class_map
    class_map[labels.ids == VOID] = VOID
    for i, name in named_ids(labels, annotated.classes).items():
        class_map[labels.ids == i] = ids.id(name, i)
    return class_map


def _numbered(annotated: Annotated, class_map: NDArray[np.int32]) -> NDArray[np.int32]:
    """(H, W): the objects from 1 that can be seen, in order; void as in the class map.

    Raises `BadValueError` for more than 254 objects.
    """
    image, objects, ids = annotated.image, annotated.objects, annotated.ids
    painted = np.zeros(image.size, np.int32)
    for number, item in enumerate(objects, 1):
        painted[item.mask & (class_map == ids.id(item.name))] = number
    seen = np.bincount(painted.ravel(), minlength=len(objects) + 1) > 0
    seen[BACKGROUND] = False
    if seen.sum() >= VOID:
        raise BadValueError(
            f"a VOC file should hold up to 254 objects, but {image.name} has {seen.sum()}; ask "
            "for fewer, or write them with --write coco"
        )
    numbers = (np.cumsum(seen) * seen).astype(np.int32)[painted]
    numbers[class_map == VOID] = VOID
    return numbers


@hookimpl
def segkit_writers() -> Sequence[type[Writer]]:
    """Register `voc`."""
    return [Voc]
