"""PASCAL VOC's layout: class maps and objects as palette PNGs, photos, and the list of images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from segkit import (
    BACKGROUND,
    VOID,
    BadValueError,
    Writer,
    hookimpl,
    palette,
    read_mask,
    write_file,
    write_png,
)
from segkit_plugins.writer._annotations import Annotated, AnnotationWriter, named_ids
from segkit_plugins.writer._files import (
    file_for,
    finished_files,
    photo_for,
    write_json,
    write_photo,
)
from segkit_plugins.writer._numbering import ClassIds, is_part, knows_classes, parts_in
from segkit_plugins.writer._split import TrainShare, divided

ROOT = "voc/VOCdevkit/VOC2012"

CLASS_MAPS = f"{ROOT}/SegmentationClass"

PARTS = "voc/parts"


class Voc(AnnotationWriter):
    """`voc/VOCdevkit/VOC2012`, laid out as VOC 2012 is.

    torchvision reads it: `VOCSegmentation("DIR/voc", image_set="trainval")`.

    `SegmentationClass/NAME.png` holds class ids (0 background, 255 void): those of the class map,
    or, where the result is masks alone, the masks painted in order, later ones on top.
    `SegmentationObject/NAME.png` numbers the objects from 1, each where the class map has its
    class, later ones on top; classes of a class map without masks are one object each. So overlaps
    and scores are lost; every pixel's class is kept. No void border is drawn around objects.

    Class ids are the data set's, names that it lacks get the next free ones by name;
    `voc/classes.json` has all of them. For that, `voc/parts` keeps class maps numbered image by
    image with their names.
    """

    name = "voc"

    images: Literal["jpg", "none"] = "jpg"
    """Write the photos too, as JPEG in `JPEGImages`, where readers look for them; or not."""

    image_set: Literal["train", "val", "trainval"] = "trainval"
    """The list in `ImageSets/Segmentation` that names the images."""

    largest_id: ClassVar[int | None] = VOID - 1

    train_share: TrainShare = None
    """This share of the images is listed in `train.txt`, the others in `val.txt`, and all in
    `trainval.txt`, whatever `image_set` says; --split sets it."""

    def annotate(self, directory: Path, annotated: Annotated) -> tuple[Path, ...]:
        """Write an image's two PNGs, and the photo if it is asked for.

        Raises `BadValueError` for class ids above 254 and for more than 254 objects, which a PNG
        has not.
        """
        image, ids = annotated.image, annotated.ids
        by_class = file_for(directory, CLASS_MAPS, image.name, ".png")
        by_object = file_for(directory, f"{ROOT}/SegmentationObject", image.name, ".png")
        photo = photo_for(directory, f"{ROOT}/JPEGImages", image, self.images)
        places, names = _named_map(annotated)
        class_map = _class_map(places, [ids.id(*name) for name in names])
        if (class_map > VOID).any():
            raise BadValueError(
                f"a VOC class map holds class ids up to 254, but {image.name} has "
                f"{class_map.max()}; write it with --write masks, whose PNG then has 16 bits, or "
                "with --write coco"
            )
        numbers = _numbered(annotated, class_map)
        ids.save()
        write_png(by_class, class_map.astype(np.uint8), palette())
        write_png(by_object, numbers.astype(np.uint8), palette())
        kept: list[Path] = []
        if ids.others:
            part = file_for(directory, PARTS, image.name, ".json", spread=True)
            write_png(part.with_name(f"{image.name}.png"), places.astype(np.uint8))
            kept = [part, part.with_name(f"{image.name}.png")]
            write_json(part, {**ids.part, "names": [name for name, _ in names]})
        return by_class, by_object, *kept, *write_photo(photo, image, self.images)

    def is_intact(self, directory: Path, path: Path) -> bool:
        """Parts are looked into, and without the class ids no file is of use."""
        if not knows_classes(directory / self.name):
            return False
        return is_part(path) if path.suffix == ".json" else super().is_intact(directory, path)

    def finish(self, directory: Path, images: Sequence[str]) -> tuple[Path, ...]:
        """Write the list of finished images, or their lists for train, val and both.

        Class maps with a class that has another id, now that all are known, are written again.
        """
        ids = ClassIds(directory / "voc")
        if parts := parts_in(directory, PARTS, images):
            ids.settle(parts)
        for part, said in parts.items():
            places = read_mask(part.with_name(f"{part.stem}.png"))
            class_map = _class_map(places, [ids.id(name) for name in said["names"]])
            path = directory / CLASS_MAPS / f"{part.stem}.png"
            if not np.array_equal(read_mask(path), class_map):
                write_png(path, class_map.astype(np.uint8), palette())
        stems = [p.stem for p in finished_files(directory, CLASS_MAPS, ".png", images)]
        sets: dict[str, list[str]] = {self.image_set: stems}
        if self.train_share is not None:
            sets = {**divided(stems, self.train_share), "trainval": stems}
        lists = directory / ROOT / "ImageSets/Segmentation"
        written = [
            write_file(lists / f"{name}.txt", b"".join(os.fsencode(f"{stem}\n") for stem in some))
            for name, some in sets.items()
        ]
        return (*written, *ids.files)


def _named_map(
    annotated: Annotated,
) -> tuple[NDArray[np.int32], list[tuple[str, int | None]]]:
    """(H, W) places from 1 in a list of class names, 0 background, 255 void; and that list.

    Of the class map, or without one of the masks painted in order. Names come with the ids that a
    segmenter's class map has.
    """
    labels = annotated.labels
    places = np.zeros(annotated.image.size, np.int32)
    names: dict[str, tuple[int, int | None]] = {}

    def place(name: str, wanted: int | None = None) -> int:
        number = len(names) + 1
        return names.setdefault(name, (number + (number >= VOID), wanted))[0]

    if labels is None:
        for item in annotated.objects:
            places[item.mask] = place(item.name)
    else:
        places[labels.ids == VOID] = VOID
        for i, name in named_ids(labels, annotated.classes).items():
            places[labels.ids == i] = place(name, i if annotated.own_ids else None)
    return places, [(name, wanted) for name, (_, wanted) in names.items()]


def _class_map(places: NDArray[np.int32], ids: Sequence[int]) -> NDArray[np.int32]:
    """(H, W): places from 1 as these class ids; background and void stay."""
    numbers = np.zeros(max(len(ids) + 2, VOID + 1), np.int32)
    numbers[VOID] = VOID
    for place, i in enumerate(ids, 1):
        numbers[place + (place >= VOID)] = i
    return numbers[places]


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
