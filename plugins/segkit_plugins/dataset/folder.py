"""A folder of images and a folder of masks with class ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from segkit import (
    Dataset,
    Image,
    Truth,
    find_images,
    hookimpl,
    read_image,
    unique_names,
)
from segkit_plugins.dataset._mask_files import MaskFolder, MaskValues
from segkit_plugins.shared.name_tables import object_class_names


class Folder(Dataset):
    """Images with grey or palette masks of the same stem, sorted by name."""

    name = "folder"
    concurrent = True

    images: Path
    """The folder of images, or a pattern such as 'data/*.jpg'."""

    masks: Path
    """The folder of masks: grey or palette files, of the same stem as their images."""

    class_names: tuple[str, ...] = ()
    """The names of the class ids 1, 2, …; or one text file with a name a line. A first name
    'background' stands for id 0."""

    values: MaskValues = "auto"
    """What a mask's values mean. ids: class ids, 255 is void. object: all but 0 is one object.
    auto: object if the first 50 masks hold only 0 and 1 or only 0 and 255, else ids."""

    @property
    def names(self) -> Sequence[str]:
        """Stems; a second one of that name gets '-2'. Raises `UsageError` if there is no image."""
        return self._names

    @property
    def classes(self) -> Mapping[int, str]:
        """The named ids; {1: 'object'} for masks of one nameless object."""
        return self._masks.classes

    def files_of(self, index: int) -> Sequence[Path]:
        """The image and its mask."""
        path = self._files[index]
        return (path, *self._masks.files_of(path))

    def __getitem__(self, index: int) -> tuple[Image, Truth | None]:
        """Read an image and its mask; `BadImageError` if one of them cannot be."""
        path = self._files[index]
        image = read_image(path, self.names[index])
        return image, self._masks.truth(path, image.size)

    @cached_property
    def _files(self) -> tuple[Path, ...]:
        return find_images([self.images])

    @cached_property
    def _names(self) -> tuple[str, ...]:
        _ = self._masks.files  # a folder that is missing is said before work begins
        return unique_names(self._files)

    @cached_property
    def _masks(self) -> MaskFolder:
        return MaskFolder(self.masks, self._named, self.values)

    @cached_property
    def _named(self) -> tuple[str, ...]:
        """The class names, read from their file if they are in one."""
        return object_class_names(self.class_names)


@hookimpl
def segkit_datasets() -> Sequence[type[Dataset]]:
    """Register `folder`."""
    return [Folder]
