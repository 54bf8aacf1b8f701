"""Label Studio: photos with regions that were painted, drawn or corrected there, as exported."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, FiniteFloat, TypeAdapter, ValidationError

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
from segkit_plugins.dataset._regions import Point, Region, ellipse, numbered, polygon, truth_of
from segkit_plugins.shared import brush_rle
from segkit_plugins.shared.name_tables import class_names
from segkit_plugins.shared.reading import first_problem, read_bytes

UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")
"""What Label Studio sets before the name of a file that was uploaded."""


class _Result(BaseModel):
    """A region, or something else that was said of an image, such as a choice."""

    type: str
    id: str | None = None
    value: dict[str, Any] = {}
    original_width: int | None = None
    original_height: int | None = None


class _Annotation(BaseModel):
    result: list[_Result]
    was_cancelled: bool = False
    ground_truth: bool = False
    updated_at: str = ""


class _Task(BaseModel):
    data: dict[str, Any]
    annotations: list[_Annotation] | None = None
    predictions: list[_Annotation] | None = None


_TASKS = TypeAdapter(list[_Task])


class LabelStudio(Dataset):
    """A project of Label Studio, exported as JSON: class map and instances.

    Tasks in the file's order, those without an annotation left out, for nobody has looked at them
    yet; an annotation without a region says that there is nothing. Of several annotations of a
    task the one that is marked as ground truth counts, else the one that was changed last.

    Brushes are taken as they are, polygons, rectangles and ellipses filled; each region is an
    instance of its first label, numbered from 1 (255 is left out), and later ones lie on top.
    Choices, texts and other answers without an area are left out.

    It reads what the writer `label-studio` has written and Label Studio has exported.
    """

    name = "label-studio"
    concurrent = True

    annotations: Path
    """The exported file, in Label Studio's format 'JSON' (not 'JSON-MIN')."""

    root: Path
    """The folder of the photos; each is looked for by the file name at the end of its address, with
    and without the eight digits that Label Studio sets before the names of uploads."""

    field: str = ""
    """Which field of a task holds the photo's address; left out, the only one or 'image'."""

    regions: Literal["annotations", "predictions"] = "annotations"
    """Whose regions are read: a person's annotations, or the first prediction, as it was before
    anybody has corrected it."""

    class_names: tuple[str, ...] = ()
    """The names of the class ids 1, 2, …; or one text file with a name a line. Left out, all labels
    by the alphabet."""

    @property
    def names(self) -> Sequence[str]:
        """Stems of the photos. Raises `UsageError` if the folder or the file cannot be used."""
        return self._names

    @property
    def classes(self) -> Mapping[int, str]:
        """The named classes, or all labels."""
        return self._classes

    def files_of(self, index: int) -> Sequence[Path]:
        """The photo and the exported file."""
        return (self._photos[index], self.annotations)

    def __getitem__(self, index: int) -> tuple[Image, Truth | None]:
        """Read a photo and its regions; `BadImageError` if one of them cannot be."""
        photo, annotation = self._photos[index], self._looked_at[index][1]
        image = read_image(photo, self.names[index])
        try:
            regions = [
                Region(label, self._mask(number, result, image.size))
                for number, result in enumerate(annotation.result, 1)
                if (label := _label(result)) is not None
            ]
            return image, truth_of(regions, image.size, self.classes)
        except BadImageError as error:
            raise BadImageError(
                f"the task of '{photo}' in '{self.annotations}' {error}", cause=error.cause
            ) from None

    @staticmethod
    def _mask(number: int, result: _Result, size: tuple[int, int]) -> NDArray[np.bool_]:
        stated = (result.original_height or size[0], result.original_width or size[1])
        which = f"has a region, the {number}., that"
        if stated != size:
            raise BadImageError(
                f"{which} was drawn on {stated[1]}x{stated[0]} pixels, but the photo is "
                f"{size[1]}x{size[0]}; it needs the photo that it was drawn on",
                cause="size",
            )
        try:
            return _filled(result, size)
        except BadImageError as error:
            raise BadImageError(f"{which} {error}") from None

    @cached_property
    def _looked_at(self) -> list[tuple[_Task, _Annotation]]:
        """The tasks that have what is asked for, each with what counts of it."""
        there = [(task, self._counting(task)) for task in self._tasks]
        kept = [(task, some) for task, some in there if some is not None]
        if not kept:
            other = "predictions" if self.regions == "annotations" else "annotations"
            raise UsageError(
                f"none of the {len(there)} tasks in '{self.annotations}' has {self.regions}; "
                f"label some, or read their {other} with --label-studio.regions {other}"
            )
        return kept

    def _counting(self, task: _Task) -> _Annotation | None:
        if self.regions == "predictions":
            return next(iter(task.predictions or ()), None)
        done = [one for one in task.annotations or () if not one.was_cancelled]
        return max(done, key=lambda one: (one.ground_truth, one.updated_at), default=None)

    @cached_property
    def _photos(self) -> tuple[Path, ...]:
        return tuple(self._photo(task) for task, _ in self._looked_at)

    def _photo(self, task: _Task) -> Path:
        """The photo of a task, whether it is there or not, always directly in the folder."""
        texts = {key: value for key, value in task.data.items() if isinstance(value, str)}
        key = self.field or ("image" if "image" in texts or len(texts) != 1 else next(iter(texts)))
        name = _file_name(texts.get(key, ""))
        if not name:
            raise UsageError(
                f"a task in '{self.annotations}' has no photo under '{key}', but holds "
                f"{', '.join(task.data) or 'nothing'}; name the field as --label-studio.field"
            )
        path = self.root / name
        plain = self.root / UPLOADED.sub("", name, count=1)
        return plain if plain.is_file() and not path.is_file() else path

    @cached_property
    def _names(self) -> tuple[str, ...]:
        if not self.root.is_dir():
            raise UsageError(
                f"there is no folder '{self.root}'; give the folder of the photos as "
                "--label-studio.root"
            )
        return unique_names(self._photos)

    @cached_property
    def _classes(self) -> dict[int, str]:
        if self.class_names:
            return numbered(class_names(self.class_names))
        labels = {_label(result) for _, some in self._looked_at for result in some.result}
        return numbered(sorted(label for label in labels if label is not None))

    @cached_property
    def _tasks(self) -> list[_Task]:
        """The exported file, read and checked. Raises `UsageError` if it cannot be used."""
        try:
            return _TASKS.validate_json(read_bytes(self.annotations))
        except OSError as error:
            raise UsageError(
                f"the annotations '{self.annotations}' cannot be read ({error.strerror}); give a "
                "file that Label Studio has exported as JSON as --label-studio.annotations"
            ) from None
        except ValidationError as error:
            raise UsageError(
                f"'{self.annotations}' is no list of tasks as Label Studio exports it: "
                f"{first_problem(error)}; export it in the format 'JSON', "
                "not 'JSON-MIN'"
            ) from None


def _file_name(address: str) -> str:
    """The file name at the end of an address; empty where it ends with none."""
    parts = urlsplit(address)
    asked = parse_qs(parts.query).get("d", [""])[0]  # Label Studio's local files
    named = asked or unquote(parts.path)
    name = PurePosixPath(named.replace("\\", "/")).name
    return "" if name == ".." or "\0" in name else name


LABELLED = {
    "brushlabels": "brushlabels",
    "polygonlabels": "polygonlabels",
    "rectanglelabels": "rectanglelabels",
    "ellipselabels": "ellipselabels",
    "labels": "labels",
}
"""The types of regions, and where each keeps its labels."""


def _label(result: _Result) -> str | None:
    """The class of a region; None for what is none."""
    labels = result.value.get(LABELLED.get(result.type.lower(), ""))
    return str(labels[0]) if isinstance(labels, list) and labels else None


class _Box(BaseModel):
    """A rectangle: its first corner, its sides and its turn, in per cent and degrees."""

    x: FiniteFloat
    y: FiniteFloat
    width: FiniteFloat
    height: FiniteFloat
    rotation: FiniteFloat = 0.0


class _Ellipse(BaseModel):
    """An ellipse: its centre, its radii and its turn, in per cent and degrees."""

    x: FiniteFloat
    y: FiniteFloat
    radiusX: FiniteFloat  # noqa: N815 - Label Studio's spelling
    radiusY: FiniteFloat  # noqa: N815
    rotation: FiniteFloat = 0.0


class _Polygon(BaseModel):
    points: list[tuple[FiniteFloat, FiniteFloat]]


def _filled(result: _Result, size: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W) bool of a region. Raises `BadImageError`, to follow 'the region'.

    Places are per cent of the image's width and height from its top-left corner, so the centre of
    a pixel is half a pixel further.
    """
    value = result.value
    width, height = size[1] / 100, size[0] / 100
    try:
        if "rle" in value:
            return brush_rle.decode(value["rle"], size)
        if "points" in value:
            outline = _Polygon.model_validate(value).points
            return polygon([(x * width - 0.5, y * height - 0.5) for x, y in outline], size)
        if "radiusX" in value:
            round_ = _Ellipse.model_validate(value)
            centre = (round_.x * width - 0.5, round_.y * height - 0.5)
            radii = (round_.radiusX * width, round_.radiusY * height)
            return ellipse(centre, radii, size, round_.rotation)
        box = _Box.model_validate(value)
    except ValidationError as error:
        raise BadImageError(f"is no region: {error.errors()[0]['msg']}; export it again") from None
    sides = box.width * width, box.height * height
    return polygon(_turned((box.x * width, box.y * height), sides, box.rotation), size)


def _turned(corner: Point, sides: Point, degrees: float) -> list[Point]:
    """The corner pixels of a rectangle that is turned clockwise around its first corner."""
    turn = np.radians(degrees)
    along, across = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    inner = np.maximum(np.array(sides) - 1, 0)  # from the first pixel's centre to the last one's
    first = np.array(corner) + (along + across) / 2 - 0.5
    corners = (
        first,
        first + along * inner[0],
        first + along * inner[0] + across * inner[1],
        first + across * inner[1],
    )
    return [(float(x), float(y)) for x, y in corners]


@hookimpl
def segkit_datasets() -> Sequence[type[Dataset]]:
    """Register `label-studio`."""
    return [LabelStudio]
