"""labelme: photos with shapes that were drawn or corrected by hand, one JSON file each."""

from __future__ import annotations

import base64
import binascii
import io
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path, PureWindowsPath
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, FiniteFloat, PositiveInt, ValidationError

from segkit import (
    BadImageError,
    Dataset,
    Image,
    Truth,
    UsageError,
    hookimpl,
    read_image,
    unique_names,
)
from segkit_plugins.dataset._regions import (
    Region,
    check_reach,
    ellipse,
    numbered,
    polygon,
    truth_of,
)
from segkit_plugins.shared.name_tables import class_names
from segkit_plugins.shared.reading import first_problem, read_bytes

BACKGROUND, IGNORED = "_background_", "__ignore__"
"""labelme's own labels for what is no object, and for what is to be left out."""


class _Shape(BaseModel):
    label: str
    points: list[tuple[FiniteFloat, FiniteFloat]]
    shape_type: str | None = "polygon"
    group_id: int | None = None
    mask: str | None = None


class _File(BaseModel):
    """What is read of a file of labelme; other keys are left out."""

    shapes: list[_Shape]
    photo: Annotated[str, Field(alias="imagePath", min_length=1)]
    height: Annotated[PositiveInt | None, Field(alias="imageHeight")] = None
    width: Annotated[PositiveInt | None, Field(alias="imageWidth")] = None


class Labelme(Dataset):
    """Files of labelme (Wada 2016): class map and instances, as labelme's own export makes them.

    All JSON files of a folder, sorted by name. Polygons, rectangles and circles are filled with
    their border, masks are taken as they are; later shapes lie on top. Shapes of one label with one
    `group_id` are one instance, others each their own, numbered from 1 (255 is left out). Shapes
    that are called `_background_` clear what is below, `__ignore__` is void. Lines and points have
    no area, so a file with one is told and left out.

    It reads what the writer `labelme` writes, corrected or not.
    """

    name = "labelme"
    concurrent = True

    root: Path
    """The folder of the JSON files, and of the photos that they name, or with those in folders
    inside."""

    photos: Path | None = None
    """The folder of the photos where they are not in `root`; each is looked for by its file's name
    alone."""

    class_names: tuple[str, ...] = ()
    """The names of the class ids 1, 2, …; or one text file with a name a line. Left out, all labels
    by the alphabet, for which every file is read once."""

    @property
    def names(self) -> Sequence[str]:
        """Stems of the JSON files. Raises `UsageError` if there is none."""
        return self._names

    @property
    def classes(self) -> Mapping[int, str]:
        """The named classes, or all labels."""
        return self._classes

    def files_of(self, index: int) -> Sequence[Path]:
        """The JSON file, and the photo where the file can be read."""
        path = self._files[index]
        try:
            return (path, self._photo(path, _read(path)))
        except BadImageError:
            return (path,)

    def __getitem__(self, index: int) -> tuple[Image, Truth | None]:
        """Read a photo and its shapes; `BadImageError` if one of them cannot be."""
        path = self._files[index]
        file = _read(path)
        photo = self._photo(path, file)
        image = read_image(photo, self.names[index])
        height, width = image.size
        if (file.height or height, file.width or width) != image.size:
            raise BadImageError(
                f"'{photo}' is {width}x{height}, but '{path}' says {file.width}x{file.height}; the "
                "shapes need the photo that they were drawn on",
                cause="size",
            )
        try:
            regions = [
                Region(shape.label, self._mask(number, shape, image.size), shape.group_id)
                for number, shape in enumerate(file.shapes, 1)
            ]
            truth = truth_of(regions, image.size, self.classes, BACKGROUND, IGNORED)
        except BadImageError as error:
            raise BadImageError(f"'{path}' {error}", cause=error.cause) from None
        return image, truth

    @staticmethod
    def _mask(number: int, shape: _Shape, size: tuple[int, int]) -> NDArray[np.bool_]:
        try:
            return _filled(shape, size)
        except BadImageError as error:
            raise BadImageError(
                f"has a shape, the {number}., '{shape.label}', that {error}"
            ) from None

    def _photo(self, path: Path, file: _File) -> Path:
        """The photo of a file. Raises `BadImageError` for one outside of the folder."""
        named = PureWindowsPath(file.photo)  # as labelme does, on all systems
        if self.photos is not None:
            return self.photos / named.name
        photo = path.parent / named.as_posix()
        root = os.path.abspath(self.root)  # noqa: PTH100 - keeps links
        if os.path.commonpath([root, os.path.abspath(photo)]) != root:  # noqa: PTH100
            raise BadImageError(
                f"'{path}' names the photo '{file.photo}', which is outside of '{self.root}'; give "
                "the folder of the photos as --labelme.photos"
            )
        return photo

    @cached_property
    def _files(self) -> tuple[Path, ...]:
        try:
            there = sorted(self.root.iterdir(), key=lambda path: path.name)
        except OSError as error:
            raise UsageError(
                f"the folder '{self.root}' cannot be looked into ({error.strerror}); give the "
                "folder of labelme's JSON files as --labelme.root"
            ) from None
        files = tuple(
            p
            for p in there
            if p.suffix.lower() == ".json" and not p.name.startswith(".") and p.is_file()
        )
        if not files:
            raise UsageError(
                f"the folder '{self.root}' holds no JSON file of labelme; give another as "
                "--labelme.root"
            )
        return files

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return unique_names(self._files)

    @cached_property
    def _classes(self) -> dict[int, str]:
        if self.class_names:
            return numbered(class_names(self.class_names))
        labels: set[str] = set()
        for path in self._files:
            try:
                labels.update(shape.label for shape in _read(path).shapes)
            except BadImageError:
                continue  # said when its turn comes
        return numbered(sorted(labels - {BACKGROUND, IGNORED}))


def _read(path: Path) -> _File:
    """A file of labelme. Raises `BadImageError` if it cannot be used."""
    try:
        return _File.model_validate_json(read_bytes(path))
    except OSError as error:
        raise BadImageError(
            f"'{path}' cannot be read ({error.strerror}); change its permissions or leave it out"
        ) from None
    except ValidationError as error:
        raise BadImageError(
            f"'{path}' is no file of labelme with shapes and imagePath: "
            f"{first_problem(error)}; save it again or leave it out"
        ) from None


def _filled(shape: _Shape, size: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W) bool of a shape. Raises `BadImageError`, to follow 'the shape that'."""
    kind, points = shape.shape_type or "polygon", shape.points
    if kind in ("polygon", "oriented_rectangle"):
        return polygon(points, size)
    if kind not in ("rectangle", "circle", "mask"):
        raise BadImageError(f"is of type '{kind}', which has no area; draw a polygon or drop it")
    if len(points) != 2:
        raise BadImageError(f"is of type '{kind}' with {len(points)} points; it should have two")
    check_reach(points, size)
    (x0, y0), (x1, y1) = points
    if kind == "circle":
        radius = float(np.hypot(x1 - x0, y1 - y0))
        return ellipse((x0, y0), (radius, radius), size)
    if kind == "rectangle":
        return polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], size)
    return _placed(shape, size)


def _placed(shape: _Shape, size: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W) bool of a shape whose mask is a PNG in base 64, between its two points."""
    import PIL.Image

    (left, top), (right, bottom) = ((int(x), int(y)) for x, y in shape.points)
    try:
        with PIL.Image.open(io.BytesIO(base64.b64decode(shape.mask or ""))) as picture:
            cut = np.asarray(picture.convert("L")) > 0
    except (OSError, ValueError, binascii.Error, PIL.Image.DecompressionBombError) as error:
        raise BadImageError(f"has a mask that is no picture ({error}); draw it again") from None
    inside = 0 <= left <= right < size[1] and 0 <= top <= bottom < size[0]
    if not inside or cut.shape != (bottom - top + 1, right - left + 1):
        raise BadImageError(
            f"has a mask of {cut.shape[1]}x{cut.shape[0]} that does not fit between its points; "
            "draw it again"
        )
    whole = np.zeros(size, bool)
    whole[top : bottom + 1, left : right + 1] = cut
    return whole


@hookimpl
def segkit_datasets() -> Sequence[type[Dataset]]:
    """Register `labelme`."""
    return [Labelme]
