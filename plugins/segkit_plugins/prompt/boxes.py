"""Boxes from a file: VOC XML, COCO JSON, YOLO txt, or a plain JSON of boxes by image."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field, PrivateAttr

from segkit import BadImageError, Image, Prompt, Prompter, Prompts, UsageError, hookimpl
from segkit_plugins.prompt._detection import to_pixels
from segkit_plugins.shared.name_tables import class_names, folded, load_table
from segkit_plugins.shared.reading import parsed_json, read_bytes, read_text
from segkit_plugins.shared.sentences import first_line


class FileBox(NamedTuple):
    """One box of a file."""

    edges: tuple[float, float, float, float]
    """First x and y, last x and y, in pixels; the image reaches from 0 to its width and height."""
    label: int | str | None
    """A class id, a class name, or nothing."""
    score: float
    place: bool = False
    """Whether the id is a place from 0 among the classes, as in YOLO's files."""


Read = Callable[[Image], "list[FileBox] | None"]
"""From an image to its boxes; None if the file does not know the image."""


class Boxes(Prompter):
    """The boxes that a file has for the image, each a prompt with its class; best first.

    The forms, told apart by what is in them:

    - a folder of VOC's XML files, or one of them: pixels counted from 1, classes by name;
    - a folder of YOLO's txt files, or one: 'class x y width height', and a score if there is one,
      as shares of the image; classes counted from 0. An image without a file has no boxes;
    - COCO's JSON with images, annotations and categories, x y width height in pixels; or a list of
      detections with image_id, category_id, bbox and score. Boxes of crowds are left out;
    - JSON of {image: [[x1, y1, x2, y2, class, score], …]}: first and last pixel, counted from 0;
      class (id or name) and score may be missing.

    Images are found by their names: a file's stem, in lists of detections its number too. Ids
    become names through `names`, else through the data set's classes (YOLO's through their places,
    as a list of class names has them); COCO's through its own categories.

    Boxes are cut at the image's border; equally good ones stay in their order. A box that is
    inverted, not finite or wholly outside the image is an error of that image, since it belongs to
    another one or is damaged; so is an image that the file does not know. An image that it knows,
    without boxes, makes no prompt.
    """

    name = "boxes"
    concurrent = True

    file: Path
    """The file, or the folder of one file an image."""

    confidence: float = Field(0, ge=0, le=1)
    """Least score of a box; boxes without a score have 1."""

    classes: tuple[str, ...] = ()
    """The class names to keep, after the table; left out: all."""

    names: tuple[str, ...] = ()
    """The names of the class ids 1, 2, … (for YOLO's files 0, 1, …), or a text file with a name a
    line. Left out: the data set's."""

    table: str | None = None
    """A name table, such as 'coco-voc' or a file: what each class is called in the prompts; classes
    that it lacks are dropped. Left out: as the file calls them."""

    _asked: Mapping[str, str] = PrivateAttr({})
    """The classes asked for, by their plain names; empty: all."""

    def open(self, device: str) -> None:
        """Read the file. Raises `UsageError` where it is not there, or of none of the forms."""
        _ = self._read, self._named, self._table
        self._asked = {}

    def restrict(self, names: Sequence[str]) -> None:
        """Drop the boxes of all other classes; those without a name stay."""
        self._asked = {folded(name): name for name in names}

    def close(self) -> None:
        """Drop what was read."""
        self.__dict__.pop("_read", None)

    def __call__(self, image: Image, classes: Mapping[int, str] | None = None) -> Prompts:
        """A prompt with a box for each box of the image's; `BadImageError` where that cannot be."""
        boxes = self._read(image)
        if boxes is None:
            raise BadImageError(
                f"'{self.file}' has no boxes for the image '{image.name}'; add them, or leave the "
                "image out"
            )
        prompts = [self._prompt(box, image, classes or {}) for box in boxes]
        sure = [p for p in prompts if p is not None]
        return Prompts(tuple(sorted(sure, key=lambda prompt: -prompt.score)))

    def _prompt(self, listed: FileBox, image: Image, classes: Mapping[int, str]) -> Prompt | None:
        """The box as a prompt; None if it is not wanted."""
        (box,), (right,) = to_pixels(listed.edges, image.size)
        if not right or not math.isfinite(listed.score):
            height, width = image.size
            numbers = ", ".join(f"{v:g}" for v in (*listed.edges, listed.score))
            raise BadImageError(
                f"'{self.file}' has for the image '{image.name}' ({width}x{height}) the box "
                f"{numbers} (first and last x and y, score), which is inverted, outside the image "
                "or not finite; correct it there"
            )
        name = self._name(listed, image, classes)
        if self.table is not None:
            name = self._table.get(name or "")
            if name is None:
                return None
        if (self.classes and name not in self.classes) or listed.score < self.confidence:
            return None
        if self._asked and name is not None:
            name = self._asked.get(folded(name))
            if name is None:
                return None
        return Prompt(box=box, name=name, score=listed.score)

    def _name(self, listed: FileBox, image: Image, classes: Mapping[int, str]) -> str | None:
        """The box's class name; None if the file says nothing of it."""
        if not isinstance(listed.label, int):
            return listed.label
        known = dict(enumerate(self._named, 0 if listed.place else 1)) or dict(classes)
        if not self._named and listed.place:
            known = dict(enumerate(known[i] for i in sorted(known)))
        if listed.label not in known:
            among = f"only {min(known)} to {max(known)}" if known else "no classes"
            raise BadImageError(
                f"'{self.file}' has for the image '{image.name}' a box of the class id "
                f"{listed.label}, but {'--boxes.names' if self._named else 'the data set'} names "
                f"{among}; give --boxes.names, or a data set with these classes"
            )
        return known[listed.label]

    @cached_property
    def _named(self) -> tuple[str, ...]:
        return class_names(self.names)

    @cached_property
    def _table(self) -> Mapping[str, str]:
        return {} if self.table is None else load_table(self.table)

    @cached_property
    def _read(self) -> Read:
        """How boxes are read from this file."""
        path = self.file
        if path.is_dir():
            suffixes = {p.suffix.lower() for p in path.iterdir()}
            if not suffixes & {".xml", ".txt"}:
                raise UsageError(
                    f"--boxes.file {path} is a folder without XML and txt files; give VOC's or "
                    "YOLO's files, or a JSON file"
                )
            return _folder(path, ".xml" in suffixes)
        if not path.is_file():
            raise UsageError(
                f"--boxes.file {path}: there is no such file; give a folder of VOC's XML or YOLO's "
                "txt files, or a JSON file"
            )
        if path.suffix.lower() in (".xml", ".txt"):
            read = _voc if path.suffix.lower() == ".xml" else _yolo
            return lambda image: read(path, image) if image.name == path.stem else None
        return self._json()

    def _json(self) -> Read:
        """How boxes are read from a JSON file. Raises `UsageError` if it is of no known form."""
        path = self.file
        try:
            content = parsed_json(read_text(path))
        except (OSError, ValueError) as error:  # not text, not JSON
            raise UsageError(
                f"--boxes.file {path} cannot be read as JSON ({first_line(error)}); give "
                "COCO's JSON, or {image: [[x1, y1, x2, y2, class], …]}"
            ) from None
        try:
            if isinstance(content, dict) and {"images", "annotations"} <= set(content):
                return _coco(content)
            if isinstance(content, list):
                return _detections(content)
            if isinstance(content, dict):
                return _plain(content)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            fault = {
                KeyError: f"it lacks {error}",
                ValueError: str(error),
            }.get(type(error), "its entries are of another form")
        else:
            fault = "it is neither an object nor a list"
        raise UsageError(
            f"--boxes.file {path} holds JSON that is neither COCO's nor "
            f"{{image: [[x1, y1, x2, y2, class], …]}} ({fault}); correct it there"
        )


# ---- one reader a form -------------------------------------------------------------------------


def _folder(folder: Path, xml: bool) -> Read:
    """A folder of one file an image: VOC's if it has any, else YOLO's."""

    def read(image: Image) -> list[FileBox] | None:
        path = folder / f"{image.name}{'.xml' if xml else '.txt'}"
        if not path.is_file():
            return None if xml else []
        return _voc(path, image) if xml else _yolo(path, image)

    return read


def _voc(path: Path, image: Image) -> list[FileBox]:
    """The objects of a VOC annotation."""
    try:
        root = ElementTree.fromstring(read_bytes(path))
        width, height = (int(float(root.findtext(f"size/{k}", "0"))) for k in ("width", "height"))
        boxes = []
        for thing in root.iter("object"):
            box = thing.find("bndbox")
            if box is None:
                raise ValueError("an object has no bndbox")
            x0, y0, x1, y1 = (
                float(box.findtext(k, "missing")) for k in ("xmin", "ymin", "xmax", "ymax")
            )
            label = (thing.findtext("name") or "").strip() or None
            boxes.append(FileBox(_edges(x0 - 1, y0 - 1, x1 - 1, y1 - 1), label, 1.0))
    except (ElementTree.ParseError, OSError, ValueError, OverflowError, LookupError) as error:
        raise BadImageError(
            f"'{path}' cannot be read as a VOC annotation ({first_line(error)}); correct it "
            "or leave the image out"
        ) from None
    if (width, height) != (0, 0) and (height, width) != image.size:
        raise BadImageError(
            f"'{path}' is for an image of {width}x{height}, but '{image.name}' is "
            f"{image.size[1]}x{image.size[0]}; scale the image or the boxes"
        )
    return boxes


def _yolo(path: Path, image: Image) -> list[FileBox]:
    """The lines of a YOLO label file."""
    height, width = image.size
    boxes = []
    try:
        lines = read_text(path).splitlines()
    except OSError as error:
        raise BadImageError(f"'{path}' cannot be read ({error.strerror}); save it again") from None
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        try:
            label = int(words[0])
            x, y, w, h, *score = map(float, words[1:])
            if len(score) > 1 or label < 0:
                raise ValueError
        except ValueError:
            raise BadImageError(
                f"line {number} of '{path}' should be 'class x y width height' or the same with a "
                f"score, but is '{line.strip()[:60]}'; correct it there"
            ) from None
        edges = (
            (x - w / 2) * width,
            (y - h / 2) * height,
            (x + w / 2) * width,
            (y + h / 2) * height,
        )
        boxes.append(FileBox(edges, label, score[0] if score else 1.0, place=True))
    return boxes


def _coco(content: Mapping[str, Any]) -> Read:
    """COCO's annotations."""
    names = {int(c["id"]): str(c["name"]) for c in content.get("categories", ())}
    images: dict[Any, str] = {}
    sizes: dict[str, tuple[Any, Any]] = {}
    for photo in content["images"]:
        name = Path(photo["file_name"]).stem
        if photo["id"] in images or name in sizes:
            raise ValueError(f"two of its images are called '{name}' or have the id {photo['id']}")
        images[photo["id"]] = name
        sizes[name] = (photo.get("height"), photo.get("width"))
    boxes_of: dict[str, list[FileBox]] = {name: [] for name in sizes}
    for annotation in content["annotations"]:
        if annotation["image_id"] not in images:
            raise ValueError(
                f"the annotation {annotation.get('id')} is of the image {annotation['image_id']}, "
                "which 'images' lacks"
            )
        if not annotation.get("iscrowd"):
            number = int(annotation["category_id"])
            label = names.get(number, number)
            boxes_of[images[annotation["image_id"]]].append(_side_box(annotation, label))

    def read(image: Image) -> list[FileBox] | None:
        said = sizes.get(image.name, (None, None))
        if None not in said and said != image.size:
            raise BadImageError(
                f"the image '{image.name}' is {image.size[1]}x{image.size[0]}, but its boxes are "
                f"for {said[1]}x{said[0]}; scale the image or the boxes"
            )
        return boxes_of.get(image.name)

    return read


def _detections(content: Sequence[Any]) -> Read:
    """COCO's form for what a detector found: images are named by their ids."""
    boxes_of: dict[str, list[FileBox]] = {}
    for detection in content:
        box = _side_box(detection, int(detection["category_id"]))
        boxes_of.setdefault(str(detection["image_id"]), []).append(box)

    def read(image: Image) -> list[FileBox]:
        number = str(int(image.name)) if image.name.isdecimal() else image.name
        return boxes_of.get(image.name) or boxes_of.get(number, [])  # nothing found is not listed

    return read


def _edges(x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
    """The edges of a box of first and last pixel; those of an inverted one are inverted too."""
    return x0, y0, x1 + (x1 >= x0), y1 + (y1 >= y0)


def _side_box(entry: Mapping[str, Any], label: int | str) -> FileBox:
    """A box that is given by its first corner and its sides."""
    x, y, w, h = (float(v) for v in entry["bbox"])
    score = entry.get("score")
    return FileBox((x, y, x + w, y + h), label, 1.0 if score is None else float(score))


def _plain(content: Mapping[str, Any]) -> Read:
    """Image to boxes of first and last pixel."""
    boxes_of = {}
    for key, boxes in content.items():
        listed = []
        for box in boxes:
            x0, y0, x1, y1 = (float(v) for v in box[:4])
            if len(box) > 6:
                raise ValueError(f"a box of '{key}' has {len(box)} values")
            label = box[4] if len(box) > 4 else None
            score = box[5] if len(box) > 5 else 1.0
            if label is not None and not isinstance(label, str):
                label = int(label)
            listed.append(FileBox(_edges(x0, y0, x1, y1), label, float(score)))
        boxes_of[key] = listed
    stems = {Path(key).stem: boxes for key, boxes in boxes_of.items()}
    return lambda image: boxes_of.get(image.name, stems.get(image.name))


@hookimpl
def segkit_prompters() -> Sequence[type[Prompter]]:
    """Register `boxes`."""
    return [Boxes]
