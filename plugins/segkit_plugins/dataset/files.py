"""Images named one by one, by folder or by pattern; their masks as truth, if a folder has them."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from pydantic import field_validator

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
from segkit_plugins.shared.reading import read_bytes
from segkit_plugins.shared.sentences import did_you_mean


class Files(Dataset):
    """The images that the command line names, in that order, each under its file's stem."""

    name = "files"

    paths: tuple[str, ...] = ()
    """Images, folders of images, or patterns such as 'photos/**/*.jpg'."""

    list: Path | None = None
    """A file with an image a line, or - for standard input. Of `paths` only those take part that it
    names, by their files or their names in results.jsonl; without `paths` it names the files."""

    masks: Path | None = None
    """A folder of masks as truth: grey or palette, of the same stem as their images. Masks of 0 and
    1 or 0 and 255 show one object; other values are class ids, 255 being void."""

    @field_validator("paths", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        """A single path, as Python may give it, is one of them; paths may be `Path` too."""
        if isinstance(value, (str, os.PathLike)):
            value = (value,)
        if isinstance(value, Collection):
            return tuple(os.fspath(p) if isinstance(p, os.PathLike) else p for p in value)
        return value

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
        return tuple(self._chosen)

    @cached_property
    def _names(self) -> tuple[str, ...]:
        if self._masks:
            _ = self._masks.files  # a folder that is missing is said before work begins
        return tuple(self._chosen.values())

    @cached_property
    def _chosen(self) -> dict[Path, str]:
        """The files that take part, with the names that they have among all."""
        if self.list is None:
            if not self.paths:
                raise UsageError(
                    "the data set 'files' has no images; name a photo, folder or pattern"
                )
            files = find_images(self.paths)
            return dict(zip(files, unique_names(files), strict=True))
        listed = lines_of(self.list)
        if not listed:
            raise UsageError(
                f"--files.list {self.list} names no image; write one a line, by its file or its "
                "name"
            )
        files = find_images(self.paths or listed)
        names = dict(zip(files, unique_names(files), strict=True))
        return _named(names, listed, self.list) if self.paths else names

    @cached_property
    def _masks(self) -> MaskFolder | None:
        return None if self.masks is None else MaskFolder(self.masks)


def _named(names: Mapping[Path, str], listed: Sequence[str], where: Path) -> dict[Path, str]:
    """The files that lines name. Raises `UsageError` for a line that names none of them."""
    by_name = {name: path for path, name in names.items()}
    by_file = {os.path.abspath(path): path for path in names}  # noqa: PTH100 - keeps links
    wanted = set()
    for line in listed:
        path = by_name.get(line) or by_file.get(os.path.abspath(line))  # noqa: PTH100
        if path is None:
            hint = did_you_mean(line, list(by_name), "drop the line, or name its folder too")
            raise UsageError(
                f"--files.list {where} has '{line}', which is none of the {len(names)} images; "
                f"{hint}"
            )
        wanted.add(path)
    return {path: name for path, name in names.items() if path in wanted}


@lru_cache(maxsize=1)
def _piped() -> tuple[str, ...]:
    """The lines of standard input, which can be read but once, whatever asks again."""
    return _split(sys.stdin.buffer.read())


def lines_of(source: Path) -> tuple[str, ...]:
    """The lines of a file, or of standard input for -, without empty ones.

    Raises `UsageError` if it cannot be read.
    """
    if str(source) == "-":
        return _piped()
    try:
        return _split(read_bytes(source))
    except OSError as error:
        raise UsageError(
            f"--files.list {source} could not be read: {error.strerror or error}; check its path"
        ) from None


def _split(content: bytes) -> tuple[str, ...]:
    """Lines that name files, whose bytes need not be text."""
    lines = (os.fsdecode(line.removesuffix(b"\r")) for line in content.split(b"\n"))
    return tuple(line for line in lines if line.strip())


@hookimpl
def segkit_datasets() -> Sequence[type[Dataset]]:
    """Register `files`."""
    return [Files]
