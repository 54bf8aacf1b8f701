"""Oxford-IIIT Pet: photos of cats and dogs with trimaps, in the data set's own layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from segkit import (
    BACKGROUND,
    VOID,
    BadImageError,
    Dataset,
    Image,
    Labels,
    Truth,
    UsageError,
    add_class,
    find_images,
    hookimpl,
    read_image,
    read_mask,
    unique_names,
)

PET, OUTSIDE, EDGE = 1, 2, 3
"""The values of a trimap."""

SPECIES = {1: "cat", 2: "dog"}

BREEDS = (
    *("Abyssinian", "american bulldog", "american pit bull terrier", "basset hound", "beagle"),
    *("Bengal", "Birman", "Bombay", "boxer", "British Shorthair", "chihuahua", "Egyptian Mau"),
    *("english cocker spaniel", "english setter", "german shorthaired", "great pyrenees"),
    *("havanese", "japanese chin", "keeshond", "leonberger", "Maine Coon", "miniature pinscher"),
    *("newfoundland", "Persian", "pomeranian", "pug", "Ragdoll", "Russian Blue", "saint bernard"),
    *("samoyed", "scottish terrier", "shiba inu", "Siamese", "Sphynx"),
    *("staffordshire bull terrier", "wheaten terrier", "yorkshire terrier"),
)
"""The 37 breeds in the order of the data set's own ids, from 1."""


class Pets(Dataset):
    """Oxford-IIIT Pet (Parkhi et al. 2012): one cat or dog a photo, outlined by a trimap.

    A capital first letter of the file name means cat; the breed stands before its last underscore.
    """

    name = "pets"
    concurrent = True

    root: Path
    """The folder that holds `images` and `annotations/trimaps`."""

    label: Literal["species", "breeds"] = "species"
    """What the classes are: cat (1) and dog (2), or the 37 breeds under the data set's own ids."""

    border: Literal["void", "class", "object"] = "void"
    """What the trimap's border is: left out by every metric, a class 'border' of its own, or part
    of the pet."""

    positions: Literal["all", "even", "odd"] = "all"
    """Which photos, by their position from 0 among the sorted file names."""

    @property
    def names(self) -> Sequence[str]:
        """Stems. Raises `UsageError` if `root` has not the layout."""
        return self._names

    @property
    def classes(self) -> Mapping[int, str]:
        """Species or breeds; breeds that the data set does not know follow in order of name."""
        return self._classes

    @property
    def groups(self) -> Mapping[str, Mapping[str, str]]:
        """What the classes do not say: the breed of each photo, or its species."""
        other: Literal["species", "breeds"] = "breeds" if self.label == "species" else "species"
        heading = {"breeds": "breed", "species": "species"}[other]
        files = zip(self.names, self._files, strict=True)
        return {heading: {name: _class_of(path, other) for name, path in files}}

    def files_of(self, index: int) -> Sequence[Path]:
        """The photo and its trimap."""
        path = self._files[index]
        return (path, self._trimap(path))

    def __getitem__(self, index: int) -> tuple[Image, Truth | None]:
        """Read a photo and its trimap; `BadImageError` if one of them cannot be."""
        path = self._files[index]
        image = read_image(path, self.names[index])
        mask = self._trimap(path)
        if not mask.is_file():
            raise BadImageError(
                f"'{path}' has no trimap '{mask}'; add it or take the photo out of its folder",
                cause="no truth",
            )
        trimap = read_mask(mask, image.size)
        if not np.isin(trimap, (PET, OUTSIDE, EDGE)).all():
            raise BadImageError(
                f"the trimap '{mask}' should hold 1 (pet), 2 (background) and 3 (border), "
                f"but holds {np.unique(trimap).tolist()[:5]}; use the data set's own",
                cause="ids",
            )
        id_by_name = {name: i for i, name in self.classes.items()}
        pet = id_by_name[_class_of(path, self.label)]
        edge = {"void": VOID, "object": pet, "class": id_by_name.get("border", VOID)}[self.border]
        ids = np.array([BACKGROUND, pet, BACKGROUND, edge], np.int32)[trimap]
        return image, Truth(Labels(ids, self.classes))

    def _trimap(self, photo: Path) -> Path:
        return self._trimaps / f"{photo.stem}.png"

    @property
    def _trimaps(self) -> Path:
        return self.root / "annotations" / "trimaps"

    @cached_property
    def _photos(self) -> tuple[Path, ...]:
        for folder in (self.root / "images", self._trimaps):
            if not folder.is_dir():
                raise UsageError(
                    f"the data set 'pets' should have a folder '{folder}', but has none; "
                    "give the folder that holds 'images' and 'annotations' as --pets.root"
                )
        return find_images([self.root / "images"])

    @cached_property
    def _files(self) -> tuple[Path, ...]:
        first, step = {"all": (0, 1), "even": (0, 2), "odd": (1, 2)}[self.positions]
        return self._photos[first::step]

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return unique_names(self._files)

    @cached_property
    def _classes(self) -> dict[int, str]:
        if self.label == "species":
            classes = dict(SPECIES)
        else:
            classes = dict(enumerate(BREEDS, 1))
            for breed in sorted({_class_of(path, self.label) for path in self._photos}):
                add_class(breed, classes)
        if self.border == "class":
            add_class("border", classes)
        return classes


def _class_of(path: Path, label: Literal["species", "breeds"]) -> str:
    """What the file's name says of the pet."""
    if label == "species":
        return SPECIES[1] if path.stem[0].isupper() else SPECIES[2]
    return path.stem.rpartition("_")[0].replace("_", " ") or path.stem


@hookimpl
def segkit_datasets() -> Sequence[type[Dataset]]:
    """Register `pets`."""
    return [Pets]
