"""PASCAL VOC's layout: class maps and objects as palette PNGs, photos, and the list of images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from segkit import (
    BACKGROUND,
    VOID,
    BadValueError,
    Image,
    Labels,
    Masks,
    Prompts,
    Writer,
    hookimpl,
    palette,
    write_png,
)
from segkit_plugins.writer._annotations import (
    ClassIds,
    Found,
    finished_files,
    named_ids,
    objects_in,
    write_photo,
    write_whole,
)
from segkit_plugins.writer._pictures import file_for

ROOT = "voc/VOCdevkit/VOC2012"


class Voc(Writer):
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

    def write(
        self,
        directory: Path,
        image: Image,
        masks: Masks | None = None,
        prompts: Prompts | None = None,
        labels: Labels | None = None,
        classes: Mapping[int, str] | None = None,
    ) -> tuple[Path, ...]:
        """Write an image's two PNGs, and the photo if it is asked for.

        Raises `BadValueError` for class ids above 255 and for more than 254 objects, which a PNG
        has not, `UsageError` if there are neither masks nor labels.
        """
        by_class = file_for(directory, f"{ROOT}/SegmentationClass", image.name, ".png")
        by_object = file_for(directory, f"{ROOT}/SegmentationObject", image.name, ".png")
        found = objects_in(self.name, masks, prompts, labels, classes)
        ids = ClassIds(directory / "voc", classes)
        shown = np.zeros(image.size, np.int32)
        if labels is None:
            for one in found:
                shown[one.mask] = ids.id(one.name)
        else:
            shown[labels.ids == VOID] = VOID
            for i, name in named_ids(labels, classes).items():
                shown[labels.ids == i] = ids.id(name, i)
        if (shown > 255).any():
            raise BadValueError(
                f"a VOC class map should hold class ids up to 255, but {image.name} has "
                f"{shown.max()}; number the data set's classes from 1"
            )
        objects = _numbered(image, found, shown, ids)
        ids.save()
        write_png(by_class, shown.astype(np.uint8), palette())
        write_png(by_object, objects.astype(np.uint8), palette())
        made = [by_class, by_object]
        if self.images != "none":
            photo = file_for(directory, f"{ROOT}/JPEGImages", image.name, ".jpg")
            made.append(write_photo(photo, image))
        return tuple(made)

    def finish(self, directory: Path) -> tuple[Path, ...]:
        """Write the list of finished images."""
        stems = [p.stem for p in finished_files(directory, f"{ROOT}/SegmentationClass")]
        listed = directory / ROOT / "ImageSets/Segmentation" / f"{self.image_set}.txt"
        content = b"".join(os.fsencode(stem) + b"\n" for stem in stems)
        return (write_whole(listed, content), *ClassIds(directory / "voc").files)


def _numbered(
    image: Image, found: Sequence[Found], shown: NDArray[np.int32], ids: ClassIds
) -> NDArray[np.int32]:
    """(H, W): the objects from 1 that can be seen, in order; void as in the class map.

    Raises `BadValueError` for more than 254 objects.
    """
    painted = np.zeros(image.size, np.int32)
    for number, one in enumerate(found, 1):
        painted[one.mask & (shown == ids.id(one.name))] = number
    seen = np.bincount(painted.ravel(), minlength=len(found) + 1) > 0
    seen[BACKGROUND] = False
    if seen.sum() >= VOID:
        raise BadValueError(
            f"a VOC file should hold up to 254 objects, but {image.name} has {seen.sum()}; ask "
            "for fewer, or write them with --write coco"
        )
    objects = (np.cumsum(seen) * seen).astype(np.int32)[painted]
    objects[shown == VOID] = VOID
    return objects


@hookimpl
def segkit_writers() -> Sequence[type[Writer]]:
    """Register `voc`."""
    return [Voc]
