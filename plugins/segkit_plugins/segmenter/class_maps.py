"""Class maps that were made elsewhere: a PNG or .npy file for each image, from a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PrivateAttr, field_validator, model_validator

from segkit import (
    BACKGROUND,
    VOID,
    BadImageError,
    Image,
    Labels,
    Segmenter,
    UsageError,
    find_images,
    hookimpl,
    read_mask,
)
from segkit_plugins.shared.name_tables import class_names, load_table, numbered, restricted_table
from segkit_plugins.shared.reading import check_file
from segkit_plugins.shared.renaming import no_counterpart, unknown_source


class ClassMaps(Segmenter):
    """The class map of the file that has the image's name, of the image's size.

    PNG (grey or palette) and other image files are read as mask files are; a .npy file holds (H, W)
    whole numbers. 255 is void in both. The ids are those of `--class-maps.names`; without it those
    of the data set's classes, and without these too they stay as they are, nameless. Of an image
    file and a .npy file of one name the image file is read.
    """

    name = "class-maps"
    concurrent = True

    folder: Path
    """The folder of class maps, NAME.png or NAME.npy for each image."""

    names: tuple[str, ...] = ()
    """The names of the ids from `--class-maps.first` on, or one text file with a name a line. What
    is called 'background' is background."""

    first: Literal[0, 1] = 1
    """The id of the first name: 1 where 0 is background without being named, 0 for class maps as
    networks give them."""

    table: str | None = None
    """Renames the names to those of the data set, and makes background of the others: ade20k-voc,
    coco-voc, or a file with a line 'source,target' for each."""

    _renamed: Mapping[str, str] | None = PrivateAttr(None)

    @field_validator("first", mode="before")
    @classmethod
    def _as_number(cls, value: Any) -> Any:
        """The command line gives text, and a `Literal` takes what it lists alone."""
        return int(value) if value in ("0", "1") else value

    @model_validator(mode="after")
    def _names_for_the_table(self) -> ClassMaps:
        if self.table is not None and not self.names:
            raise ValueError("table renames the names of the ids; give names too")
        return self

    def open(self, device: str) -> None:
        """Look into the folder, and read names and table, so that errors in them come first."""
        _ = self._files, self._named
        self._renamed = None if self.table is None else load_table(self.table)
        if self._renamed is not None and self.table is not None:
            names, owner = {*self._named.values()}, "--class-maps.names"
            option = "--class-maps.table"
            misfit = no_counterpart(f"{option} {self.table}", self._renamed, names, owner)
            misfit = misfit or unknown_source(option, self.table, self._renamed, names, owner)
            if misfit:
                raise UsageError(misfit)

    def restrict(self, names: Sequence[str]) -> None:
        """Make background of all other names; as `shared.name_tables.restricted` does."""
        if self._named:
            own = list(self._named.values())
            self._renamed = restricted_table(own, self._renamed, names, self)

    def __call__(self, image: Image, classes: Mapping[int, str] | None = None) -> Labels:
        """The class map (H, W), its ids those of the data set by name.

        Raises `BadImageError` if there is no file of that name, if it cannot be read, is of another
        size than the image, or holds an id that has no name where ids are named.
        """
        path = self._files.get(image.name)
        if path is None:
            raise BadImageError(
                f"'{image.name}' has no class map in '{self.folder}'; add {image.name}.png or "
                f"{image.name}.npy there or leave the image out"
            )
        ids = _read(path, image.size)
        named = self._named or dict(classes or {})
        if not named:
            return Labels(ids)
        present = np.unique(ids).tolist()
        unknown = sorted(set(present) - {BACKGROUND, VOID, *named})
        if unknown:
            whose = "names are given" if self.names else "the data set has names"
            raise BadImageError(
                f"the class map '{path}' holds the class id {unknown[0]}, but {whose} for "
                f"{min(named)} to {max(named)}; give --class-maps.names for all of its ids"
            )
        places, known = numbered(named, classes, self._renamed)
        places.setdefault(BACKGROUND, BACKGROUND)
        places[VOID] = VOID
        targets = np.array([places[i] for i in present], np.int32)
        return Labels(targets[np.searchsorted(present, ids)], known)

    @cached_property
    def _files(self) -> Mapping[str, Path]:
        """Stem to file. Raises `UsageError` if it is no folder or holds no class map."""
        if self.folder.exists() and not self.folder.is_dir():
            raise UsageError(f"the class maps '{self.folder}' should be a folder, but are a file")
        arrays = sorted(self.folder.glob("*.npy"))
        files = {path.stem: path for path in arrays}
        try:
            images = find_images([self.folder])
        except UsageError:
            if not arrays:
                raise
            images = ()
        # The last one counts: a PNG rather than another image file of its name.
        for path in sorted(images, key=_is_png):
            files[path.stem] = path
        return files

    @cached_property
    def _named(self) -> Mapping[int, str]:
        """Id to name, as given; 255 stays void."""
        names = class_names(self.names)
        ids = [i for i in range(self.first, self.first + len(names) + 1) if i != VOID]
        return dict(zip(ids, names, strict=False))


def _is_png(path: Path) -> bool:
    return path.suffix.lower() == ".png"


def _read(path: Path, size: tuple[int, int]) -> NDArray[np.int32]:
    """(H, W) int32 of a file. Raises `BadImageError` if it is no class map of that size."""
    ids = _whole(path, _array(path)) if path.suffix.lower() == ".npy" else read_mask(path)
    if ids.shape != size:
        raise BadImageError(
            f"the class map '{path}' is {ids.shape[1]}x{ids.shape[0]}, another size than its "
            f"image, which is {size[1]}x{size[0]}; scale one of them (class maps by the nearest "
            "pixel)"
        )
    return ids


def _array(path: Path) -> NDArray[Any]:
    """What a .npy file holds; pickled objects are refused, since reading them runs code."""
    try:
        check_file(path)
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise BadImageError(
            f"the class map '{path}' cannot be read ({reason}); save it with numpy.save"
        ) from None
    if not isinstance(values, np.ndarray):  # an .npz archive under another name
        values.close()
        raise BadImageError(f"the class map '{path}' is an archive; save it with numpy.save")
    return values


def _whole(path: Path, values: NDArray[Any]) -> NDArray[np.int32]:
    """The values as class ids."""
    if values.ndim == 2 and values.dtype.kind in "biu":
        ids = values.astype(np.int32)
        if np.array_equal(ids, values) and ids.min(initial=0) >= 0:
            return ids
    what = f"{values.dtype} of shape {values.shape}"
    raise BadImageError(
        f"the class map '{path}' should hold class ids from 0 as whole numbers of shape (H, W), "
        f"but holds {what}{', some of them out of range' if values.ndim == 2 else ''}; save its ids"
    )


@hookimpl
def segkit_segmenters() -> Sequence[type[Segmenter]]:
    """Register `class-maps`."""
    return [ClassMaps]
