"""COCO: photos with objects from a COCO JSON file, as polygons or run lengths."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, PositiveInt, ValidationError

from segkit import (
    BACKGROUND,
    VOID,
    BadImageError,
    Dataset,
    Image,
    Labels,
    Truth,
    UsageError,
    hookimpl,
    read_image,
    unique_names,
)
from segkit_plugins.dataset._run_lengths import decode, rasteriser
from segkit_plugins.shared.reading import first_problem, read_bytes


class _Photo(BaseModel):
    id: int
    file_name: str
    height: PositiveInt | None = None
    width: PositiveInt | None = None


class _Category(BaseModel):
    id: int
    name: str


class _Annotation(BaseModel):
    image_id: int
    category_id: int
    id: int | None = None
    segmentation: Any = None
    iscrowd: int = 0


class _File(BaseModel):
    """What is read of a COCO JSON file; other keys are left out."""

    images: list[_Photo]
    annotations: list[_Annotation]
    categories: list[_Category]


class Coco(Dataset):
    """COCO (Lin et al. 2014) or any data set in its format: class map and instances.

    All photos of the JSON file in order of their ids, also those without objects. Where objects
    overlap, the smaller one lies on top. Instances are numbered from 1 as the file lists them (255
    is left out).
    """

    name = "coco"
    concurrent = True

    root: Path
    """The folder that the file names in the JSON file start from; what is not directly there is
    looked for in its folder `images`."""

    annotations: Path
    """The JSON file: `images`, `annotations` with polygons or run lengths, `categories`."""

    crowd: Literal["void", "class"] = "void"
    """What a region is that is marked as a crowd (iscrowd 1), where no single object lies: void,
    which every metric leaves out as COCO's own does, or its class, without an instance."""

    outside: bool = False
    """Read photos whose file names lead out of `root` too, as absolute ones do. Left out, they are
    refused: a JSON file may be anybody's."""

    @property
    def names(self) -> Sequence[str]:
        """Stems. Raises `UsageError` if the folder or the JSON file cannot be used."""
        return self._names

    @property
    def classes(self) -> Mapping[int, str]:
        """The categories under their own ids; from 1 in order of ids if those hold 0 or 255."""
        return {self._class_id[c.id]: c.name for c in self._file.categories}

    def files_of(self, index: int) -> Sequence[Path]:
        """The photo and the JSON file."""
        return (self._path(self._photos[index]), self.annotations)

    def open(self, device: str) -> None:
        """Check that pycocotools is there."""
        rasteriser()

    def __getitem__(self, index: int) -> tuple[Image, Truth | None]:
        """Read a photo and its objects; `BadImageError` if one of them cannot be."""
        photo = self._photos[index]
        image = read_image(self._path(photo), self.names[index])
        height, width = image.size
        if (photo.height or height, photo.width or width) != image.size:
            raise BadImageError(
                f"'{self._path(photo)}' is {width}x{height}, but '{self.annotations}' says "
                f"{photo.width}x{photo.height}; the annotations need the photo that they were "
                "made on",
                cause="size",
            )
        ids, instances = self._painted(photo, image.size)
        return image, Truth(Labels(ids, self.classes), instances)

    def _painted(
        self, photo: _Photo, size: tuple[int, int]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """(H, W) class ids and (H, W) instances of a photo."""
        ids, instances = np.full((2, *size), BACKGROUND, np.int32)
        objects: list[tuple[NDArray[np.bool_], int, int]] = []
        for annotation in self._annotations.get(photo.id, ()):
            mask = self._mask(annotation, photo, size)
            class_id = self._class_id[annotation.category_id]
            if not annotation.iscrowd:
                number = len(objects) + 1
                objects.append((mask, class_id, number + (number >= VOID)))
            elif self.crowd == "class":
                ids[mask] = class_id
            else:
                ids[mask] = instances[mask] = VOID
        for mask, class_id, number in sorted(objects, key=lambda o: -np.count_nonzero(o[0])):
            ids[mask], instances[mask] = class_id, number
        return ids, instances

    def _mask(
        self, annotation: _Annotation, photo: _Photo, size: tuple[int, int]
    ) -> NDArray[np.bool_]:
        try:
            return decode(annotation.segmentation, size)
        except BadImageError as error:
            which = "an annotation" if annotation.id is None else f"annotation {annotation.id}"
            raise BadImageError(
                f"{which} of '{photo.file_name}' in '{self.annotations}' {error}"
            ) from None

    def _path(self, photo: _Photo) -> Path:
        path = self.root / photo.file_name
        inside = self.root / "images" / photo.file_name
        return inside if inside.is_file() and not path.is_file() else path

    @cached_property
    def _names(self) -> tuple[str, ...]:
        if not self.root.is_dir():
            raise UsageError(
                f"there is no folder '{self.root}'; give the folder of the photos as --coco.root"
            )
        if not self._photos:
            raise UsageError(f"'{self.annotations}' lists no image; give another file")
        return unique_names([photo.file_name for photo in self._photos])

    @cached_property
    def _photos(self) -> tuple[_Photo, ...]:
        return tuple(sorted(self._file.images, key=lambda photo: photo.id))

    @cached_property
    def _annotations(self) -> Mapping[int, Sequence[_Annotation]]:
        """Image id to its annotations, in the file's order."""
        by_image: dict[int, list[_Annotation]] = defaultdict(list)
        for annotation in self._file.annotations:
            by_image[annotation.image_id].append(annotation)
        return by_image

    @cached_property
    def _class_id(self) -> Mapping[int, int]:
        """Category id to class id."""
        category_ids = sorted(category.id for category in self._file.categories)
        if category_ids and category_ids[0] > BACKGROUND and VOID not in category_ids:
            return {i: i for i in category_ids}
        free = (i for i in range(1, len(category_ids) + 2) if i != VOID)
        return dict(zip(category_ids, free, strict=False))

    @cached_property
    def _file(self) -> _File:
        """The JSON file, read and checked. Raises `UsageError` if it cannot be used."""
        try:
            file = _File.model_validate_json(read_bytes(self.annotations))
        except OSError as error:
            raise UsageError(
                f"the annotations '{self.annotations}' cannot be read ({error.strerror}); "
                "give a COCO JSON file as --coco.annotations"
            ) from None
        except ValidationError as error:
            raise UsageError(
                f"'{self.annotations}' is no COCO JSON file with images, annotations and "
                f"categories: {first_problem(error)}; correct it or give "
                "another"
            ) from None
        self._check_inside(file.images)
        photos = self._once("image id", [photo.id for photo in file.images])
        categories = self._once("category id", [category.id for category in file.categories])
        self._once("category name", [category.name for category in file.categories])
        self._once("annotation id", [a.id for a in file.annotations if a.id is not None])
        for annotation in file.annotations:
            for what, wanted, there in (
                ("image", annotation.image_id, photos),
                ("category", annotation.category_id, categories),
            ):
                if wanted not in there:
                    raise UsageError(
                        f"'{self.annotations}' has an annotation (id {annotation.id}) of {what} "
                        f"{wanted}, but lists no such {what}; add it or drop the annotation"
                    )
        return file

    def _check_inside(self, photos: Sequence[_Photo]) -> None:
        """Raise `UsageError` for a file name that leads out of the root; links are not followed."""
        root = os.path.abspath(self.root)  # noqa: PTH100
        for name in () if self.outside else (photo.file_name for photo in photos):
            place = os.path.abspath(self.root / name)  # noqa: PTH100
            if not place.startswith(os.path.join(root, "")):  # noqa: PTH118
                raise UsageError(
                    f"'{self.annotations}' names the photo {name!r}, which lies outside of "
                    f"'{self.root}'; correct it there, or allow it with --coco.outside"
                )

    def _once(self, what: str, values: Sequence[int | str]) -> set[int | str]:
        """The values as a set. Raises `UsageError` if one comes twice."""
        seen: set[int | str] = set()
        for value in values:
            if value in seen:
                raise UsageError(
                    f"'{self.annotations}' has the {what} {value!r} twice; "
                    "give each its own or drop one"
                )
            seen.add(value)
        return seen


@hookimpl
def segkit_datasets() -> Sequence[type[Dataset]]:
    """Register `coco`."""
    return [Coco]
