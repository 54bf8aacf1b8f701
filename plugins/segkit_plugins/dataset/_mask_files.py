"""Truth from a folder of mask files, for the data sets that read one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePath
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from segkit import (
    VOID,
    BadImageError,
    Labels,
    Truth,
    UsageError,
    find_images,
    read_mask,
)
from segkit_plugins.shared.object_names import NAMELESS

MaskValues = Literal["auto", "object", "ids"]
"""What the values of masks mean; see `MaskFolder`."""

_LOOKED_AT = 50


class MaskMeaning(ABC):
    """What the values of masks mean, and the truth that they make; see `MaskFolder`."""

    def __init__(self, class_names: Sequence[str] = (), values: MaskValues = "auto") -> None:
        """`class_names`: those of the ids 1, 2, …; empty: 'object', or no names for ids."""
        self.class_names = tuple(class_names)
        self.values = values

    @abstractmethod
    def looked_at(self) -> Iterator[NDArray[np.int32]]:
        """The masks (H, W) by which `auto` tells; at most 50 are asked for."""

    @cached_property
    def one_object(self) -> bool:
        """Whether masks show one object, not class ids."""
        if self.values != "auto":
            return self.values == "object"
        if len(self.class_names) > 1:
            return False
        seen: set[int] = set()
        for ids in islice(self.looked_at(), _LOOKED_AT):
            seen.update(np.unique(ids).tolist())
        return seen <= {0, 1} or seen <= {0, 255}

    @cached_property
    def classes(self) -> Mapping[int, str]:
        """Class id to name; empty where masks hold ids and nobody named them."""
        names = self.class_names or ((NAMELESS,) if self.one_object else ())
        ids = [i for i in range(1, len(names) + 2) if i != VOID]
        return dict(zip(ids, names, strict=False))

    def truth_of(self, ids: NDArray[np.int32], where: object) -> Truth:
        """The truth that a mask (H, W) makes. Raises `BadImageError` for ids without a name."""
        if self.one_object:
            ids = (ids > 0).astype(np.int32)
        elif self.classes:
            unknown = set(np.unique(ids).tolist()) - {0, VOID, *self.classes}
            if unknown:
                first, last = min(self.classes), max(self.classes)
                raise BadImageError(
                    f"the mask '{where}' holds the class id {min(unknown)}, but names are given "
                    f"for {first} ({self.classes[first]!r}) to {last} ({self.classes[last]!r}); "
                    "name all classes, each by a flag of its own, or none",
                    cause="ids",
                )
        return Truth(Labels(ids, self.classes))


class MaskFolder(MaskMeaning):
    """A folder with one mask for each image, matched by the file's stem.

    Masks are grey or palette files of two sorts. `object`: 0 is background, any other value the
    one object, class id 1. `ids`: values are class ids, 255 is void. `auto` tells by the first 50
    masks (sorted by name): `object` if all their values are 0 and 1, or 0 and 255, else `ids`.

    Of two masks of one stem the PNG is read, since an image and its mask may share a folder.
    """

    def __init__(
        self,
        folder: Path,
        class_names: Sequence[str] = (),
        values: MaskValues = "auto",
    ) -> None:
        """`class_names`: those of the ids 1, 2, …; empty: 'object', or no names for ids."""
        super().__init__(class_names, values)
        self.folder = folder

    @cached_property
    def files(self) -> Mapping[str, Path]:
        """Stem to file. Raises `UsageError` if it is no folder or holds no image file."""
        if self.folder.exists() and not self.folder.is_dir():
            raise UsageError(f"the masks '{self.folder}' should be a folder, but are a file")
        files: dict[str, Path] = {}
        for path in find_images([self.folder]):
            if path.stem not in files or path.suffix.lower() == ".png":
                files[path.stem] = path
        return files

    def looked_at(self) -> Iterator[NDArray[np.int32]]:
        """The first masks, sorted by name."""
        for _, path in sorted(self.files.items())[:_LOOKED_AT]:
            with suppress(BadImageError):  # said when its image's turn comes
                yield read_mask(path)

    def files_of(self, image: PurePath) -> tuple[Path, ...]:
        """The mask of an image file, if it has one."""
        path = self.files.get(image.stem)
        return () if path is None else (path,)

    def truth(self, image: PurePath, size: tuple[int, int]) -> Truth:
        """The truth of an image file of (H, W).

        Raises `BadImageError` if it has no mask, or one of another size or with unnamed ids.
        """
        path = self.files.get(image.stem)
        if path is None:
            raise BadImageError(
                f"'{image}' has no mask in '{self.folder}'; "
                f"add {image.stem}.png there or leave the image out",
                cause="no truth",
            )
        return self.truth_of(read_mask(path, size), path)
