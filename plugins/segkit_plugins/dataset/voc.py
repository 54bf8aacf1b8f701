"""PASCAL VOC: photos with class maps of 20 classes, in the data set's own layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
    read_mask,
    unique_names,
)
from segkit_plugins.shared.reading import read_text
from segkit_plugins.shared.sentences import did_you_mean

CLASSES = dict(
    enumerate(
        (
            *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair"),
            *("cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant"),
            *("sheep", "sofa", "train", "tvmonitor"),
        ),
        1,
    )
)
"""The 20 classes under the data set's own ids."""


class Voc(Dataset):
    """PASCAL VOC 2012 (Everingham et al.): class maps of 20 classes, their outlines void.

    Each photo of the split, in the list's order. Where the photo has a file in
    `SegmentationObject`, the truth has instances too, numbered as in that file.
    """

    name = "voc"
    concurrent = True

    root: Path
    """The folder that holds `JPEGImages`, `SegmentationClass` and `ImageSets`, such as
    VOCdevkit/VOC2012."""

    split: str = "val"
    """Which photos: train, val, trainval or another list in `ImageSets/Segmentation`, or a text
    file with a photo's name a line."""

    only_classes: tuple[str, ...] = ()
    """Keep the photos whose truth shows no other classes than these. Every class map is read once
    for that. Left out, all."""

    @property
    def names(self) -> Sequence[str]:
        """Stems. Raises `UsageError` if `root` has not the layout, or no photo is left."""
        return self._names

    @property
    def classes(self) -> Mapping[int, str]:
        """The 20 classes, aeroplane (1) to tvmonitor (20)."""
        return CLASSES

    def files_of(self, index: int) -> Sequence[Path]:
        """The photo, its class map, and its objects where it has a file of them."""
        stem = self._stems[index]
        objects = self._objects(stem)
        return (
            self._photo(stem),
            self._class_map(stem),
            *((objects,) if objects.is_file() else ()),
        )

    def __getitem__(self, index: int) -> tuple[Image, Truth | None]:
        """Read a photo and its class map; `BadImageError` if one of them cannot be."""
        stem = self._stems[index]
        image = read_image(self._photo(stem), self.names[index])
        labels = Labels(self._class_ids(stem, image.size), CLASSES)
        objects = self._objects(stem)
        return image, Truth(labels, read_mask(objects, image.size) if objects.is_file() else None)

    def _photo(self, stem: str) -> Path:
        return self.root / "JPEGImages" / f"{stem}.jpg"

    def _class_map(self, stem: str) -> Path:
        return self.root / "SegmentationClass" / f"{stem}.png"

    def _objects(self, stem: str) -> Path:
        return self.root / "SegmentationObject" / f"{stem}.png"

    def _class_ids(self, stem: str, size: tuple[int, int] | None = None) -> NDArray[np.int32]:
        """(H, W) the class map of a photo. Raises `BadImageError` if there is none to be used."""
        path = self._class_map(stem)
        if not path.is_file():
            raise BadImageError(
                f"'{self._photo(stem)}' has no class map '{path}'; "
                "add it or take the photo out of its list",
                cause="no truth",
            )
        ids = read_mask(path, size)
        unknown = np.setdiff1d(_present(ids), (BACKGROUND, *CLASSES, VOID))
        if len(unknown):
            raise BadImageError(
                f"the class map '{path}' holds the class id {unknown[0]}, but VOC has 0 to 20 and "
                "255 (void); use the data set's own, or --dataset folder for other classes",
                cause="ids",
            )
        return ids

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return unique_names([self._photo(stem) for stem in self._stems])

    @cached_property
    def _stems(self) -> tuple[str, ...]:
        """The photos of the split that show no other class than those asked for."""
        wanted = {self._id_of(name) for name in self.only_classes}
        stems = self._listed()
        if not wanted:
            return stems
        kept = tuple(stem for stem in stems if self._shows_only(stem, wanted))
        if not kept:
            raise UsageError(
                f"none of the {len(stems)} photos of '{self.split}' shows only "
                f"{', '.join(self.only_classes)}; give more --voc.only-classes"
            )
        return kept

    def _shows_only(self, stem: str, wanted: set[int]) -> bool:
        try:
            ids = set(_present(self._class_ids(stem)).tolist())
        except BadImageError:
            return True  # said when its turn comes
        return ids <= {BACKGROUND, VOID, *wanted}

    def _id_of(self, name: str) -> int:
        ids = {known: i for i, known in CLASSES.items()}
        if name in ids:
            return ids[name]
        advice = did_you_mean(name.lower(), [*ids], f"it has {', '.join(ids)}")
        raise UsageError(f"--voc.only-classes: VOC has no class '{name}'; {advice}")

    def _listed(self) -> tuple[str, ...]:
        """The stems of the split in the list's order; one that is listed twice comes once."""
        for folder in ("JPEGImages", "SegmentationClass"):
            if not (self.root / folder).is_dir():
                raise UsageError(
                    f"the data set 'voc' should have a folder '{self.root / folder}', but has "
                    f"none; {self._advice()}"
                )
        stems = dict.fromkeys(line for path in self._lists() for line in _lines(path))
        if not stems:
            raise UsageError(
                f"the split '{self.split}' lists no photo; give a list with a name a line"
            )
        return tuple(stems)

    def _advice(self) -> str:
        for inside in ("VOC2012", "VOCdevkit/VOC2012"):
            if (self.root / inside / "JPEGImages").is_dir():
                return f"did you mean --voc.root '{self.root / inside}'?"
        return "give the folder that holds 'JPEGImages' and 'SegmentationClass' as --voc.root"

    def _lists(self) -> tuple[Path, ...]:
        """The text files of the split: `trainval`, where it has no own, is train and val."""
        folder = self.root / "ImageSets" / "Segmentation"
        own = folder / f"{self.split}.txt"
        if own.is_file():
            return (own,)
        both = (folder / "train.txt", folder / "val.txt")
        if self.split == "trainval" and all(path.is_file() for path in both):
            return both
        if Path(self.split).is_file():
            return (Path(self.split),)
        there = ", ".join(sorted(path.stem for path in folder.glob("*.txt")))
        raise UsageError(
            f"--voc.split '{self.split}' is neither a list in '{folder}' "
            f"({f'it has {there}' if there else 'it has none'}) nor a file; name one of them"
        )


def _lines(path: Path) -> list[str]:
    try:
        text = read_text(path, errors="replace")
    except OSError as error:
        raise UsageError(
            f"the list '{path}' cannot be read ({error.strerror}); change its permissions"
        ) from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def _present(ids: NDArray[np.int32]) -> NDArray[np.intp]:
    """The ids that occur, in order."""
    return np.flatnonzero(np.bincount(ids.ravel()))


@hookimpl
def segkit_datasets() -> Sequence[type[Dataset]]:
    """Register `voc`."""
    return [Voc]
