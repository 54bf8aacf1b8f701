"""YOLO's layout for segmentation: polygons as text, photos, and data.yaml with the class names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import NonNegativeFloat

from segkit import Writer, hookimpl, write_file
from segkit_plugins.writer._annotations import Annotated, AnnotationWriter
from segkit_plugins.writer._contours import Polygon, one_polygon, polygons
from segkit_plugins.writer._files import (
    file_for,
    finished_files,
    photo_for,
    write_json,
    write_photo,
)
from segkit_plugins.writer._numbering import ClassIds, is_part, knows_classes, parts_in
from segkit_plugins.writer._split import TrainShare, divided

WITHIN = 0.1
"""How far into its pixel a vertex is written. Readers that cut off what follows the point, as
Ultralytics does, and readers that round then find the same pixel."""


PARTS = "yolo/parts"


class Yolo(AnnotationWriter):
    """`yolo/labels/NAME.txt`, with one line an object.

    A line is the class's place in `yolo/data.yaml`, then a polygon's x and y as shares of the
    image's width and height. The polygon runs through the middles of the object's outermost
    pixels, counted as Ultralytics counts them (pixel over width), so that filling it with its
    border gives the mask back. A hole is cut out by a seam from its left side, and nothing is
    lost. Several parts become one line, as Ultralytics' converter makes them: tied together by
    lines one pixel wide, which the mask then has too; or a line each, and they count as objects.
    Overlaps stay, scores are lost. The classes are the data set's by id, then others by name, for
    which `yolo/parts` keeps lines with names in place of places. An image without objects has an
    empty file. Where the result is a class map without masks, each of its classes in an image is
    one object.
    """

    name = "yolo"

    images: Literal["jpg", "png", "none"] = "jpg"
    """Write the photos too, to `yolo/images`: as JPEG, without loss as PNG, or not."""

    parts: Literal["join", "split"] = "join"
    """An object of several parts: one line with the parts tied together, or a line for each."""

    tolerance: NonNegativeFloat = 0.0
    """How far a polygon may leave the mask's edge, in pixels, to have fewer vertices."""

    train_share: TrainShare = None
    """This share of the images is listed in `yolo/train.txt`, the others in `yolo/val.txt`, and
    `data.yaml` names the lists; --split sets it."""

    def annotate(self, directory: Path, annotated: Annotated) -> tuple[Path, ...]:
        """Write an image's text, and the photo if it is asked for."""
        image, ids = annotated.image, annotated.ids
        path = file_for(directory, "yolo/labels", image.name, ".txt")
        photo = photo_for(directory, "yolo/images", image, self.images)
        part = file_for(directory, PARTS, image.name, ".json", spread=True)
        lines: list[tuple[str, str]] = []
        for item in annotated.objects:
            ids.id(item.name, item.wanted)
            shapes = polygons(item.mask, self.tolerance)
            shapes = [one_polygon(shapes)] if self.parts == "join" else shapes
            lines += [(item.name, _shares(shape, image.size)) for shape in shapes]
        ids.save()
        kept = [write_json(part, {**ids.part, "lines": lines})] if ids.others else []
        written = write_file(path, _text(lines, ids))
        return written, *kept, *write_photo(photo, image, self.images)

    def is_intact(self, directory: Path, path: Path) -> bool:
        """Parts and lines are looked into, and without the class ids no file is of use."""
        if not knows_classes(directory / self.name):
            return False
        if path.suffix == ".txt":
            return _has_polygons(path.read_text(encoding="ascii"))
        return is_part(path) if path.suffix == ".json" else super().is_intact(directory, path)

    def finish(self, directory: Path, images: Sequence[str]) -> tuple[Path, ...]:
        """Write `data.yaml`: where the photos are, or their lists, and the class names by place.

        Lines whose class has another place, now that all images are known, are written again.
        """
        ids = ClassIds(directory / "yolo")
        if parts := parts_in(directory, PARTS, images):
            ids.settle(parts)
        for part, content in parts.items():
            path, labels = directory / f"yolo/labels/{part.stem}.txt", _text(content["lines"], ids)
            if path.read_bytes() != labels:
                write_file(path, labels)
        lists = self._lists(directory, images)
        sets = [f"{name}: {lists[name].name if lists else 'images'}" for name in ("train", "val")]
        listed = [f"  {i}: {_quoted(name)}" for i, name in enumerate(ids.names.values())]
        head = "names:" if listed else "names: {}"
        text = "\n".join([*sets, head, *listed, ""])
        return (
            write_file(directory / "yolo/data.yaml", text.encode()),
            *lists.values(),
            *ids.files,
        )

    def _lists(self, directory: Path, images: Sequence[str]) -> dict[str, Path]:
        """Write the lists of the photos for train and val, if they are asked for."""
        if self.train_share is None:
            return {}
        stems = [path.stem for path in finished_files(directory, "yolo/labels", ".txt", images)]
        suffix = "png" if self.images == "png" else "jpg"
        return {
            side: write_file(
                directory / f"yolo/{side}.txt",
                b"".join(os.fsencode(f"./images/{stem}.{suffix}\n") for stem in some),
            )
            for side, some in divided(stems, self.train_share).items()
        }


def _text(lines: Iterable[Sequence[str]], ids: ClassIds) -> bytes:
    """The file of lines (class name, polygon)."""
    return "".join(f"{ids.place(name)} {shares}\n" for name, shares in lines).encode("ascii")


def _has_polygons(text: str) -> bool:
    """Whether each line is a class's place and the numbers of a polygon or a box."""
    rows = [line.split() for line in text.splitlines()]
    return all(
        len(row) >= 5 and len(row) % 2 and row[0].isdigit() and [*map(float, row[1:])]
        for row in rows
    )


def _shares(shape: Polygon, size: tuple[int, int]) -> str:
    """A polygon's x and y as shares of width and height."""
    shares = (shape + WITHIN) / (size[1], size[0])
    return " ".join(f"{share:.6f}" for share in shares.ravel())


def _quoted(name: str) -> str:
    """A string as YAML has it, with an escape for what does not print."""
    plain = (c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in name)
    return f'"{"".join(plain)}"'


@hookimpl
def segkit_writers() -> Sequence[type[Writer]]:
    """Register `yolo`."""
    return [Yolo]
