"""Images named one by one, by folder or by pattern; their masks as truth, if a folder has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from segkit import (
    Dataset,
    Image,
    Truth,
    UsageError,
    find_images,
    hookimpl,
    read_image,
    unique_names,
)
from segkit_plugins.dataset._mask_files import MaskFolder


class Files(Dataset):
    """The images that the command line names, in that order, each under its file's stem."""

    name = "files"

    paths: tuple[str, ...] = ()
    """Images, folders of images, or patterns such as 'photos/**/*.jpg'."""

    masks: Path | None = None
    """A folder of masks as truth: grey or palette, of the same stem as their images. Masks of 0 and
    1 or 0 and 255 show one object; other values are class ids, 255 being void."""

    @property
    def names(self) -> Sequence[str]:
        """Stems; a second one of that name gets '-2'. Raises `UsageError` if there is no image."""
        return self._names

    @property
    def classes(self) -> Mapping[int, str]:
        """{1: 'object'} where masks show one object, else empty."""
        return self._masks.classes if self._masks else {}

    @property
    def has_truth(self) -> bool:
        """Whether a folder of masks is given."""
        return self.masks is not None

    def files_of(self, index: int) -> Sequence[Path]:
        """The image, and its mask if there are masks."""
        path = self._files[index]
        return (path, *self._masks.files_of(path)) if self._masks else (path,)

    def __getitem__(self, index: int) -> tuple[Image, Truth | None]:
        """Read an image, and its mask if there are masks; `BadImageError` if one cannot be."""
        path = self._files[index]
        image = read_image(path, self.names[index])
        return image, self._masks.truth(path, image.size) if self._masks else None

    @cached_property
    def _files(self) -> tuple[Path, ...]:
        if not self.paths:
            raise UsageError("the data set 'files' has no images; name a photo, folder or pattern")
        return find_images(self.paths)

    @cached_property
    def _names(self) -> tuple[str, ...]:
        if self._masks:
            _ = self._masks.files  # a folder that is missing is said before work begins
        return unique_names(self._files)

    @cached_property
    def _masks(self) -> MaskFolder | None:
        return None if self.masks is None else MaskFolder(self.masks)


@hookimpl
def segkit_datasets() -> Sequence[type[Dataset]]:
    """Register `files`."""
    return [Files]
