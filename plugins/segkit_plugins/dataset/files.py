"""Images named one by one, by folder or by pattern; their masks as truth, if a folder has them."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from glob import has_magic
from itertools import groupby
from pathlib import Path, PurePath
from typing import IO, Any

from pydantic import field_validator

from segkit import (
    Dataset,
    Image,
    Truth,
    UsageError,
    find_image_files,
    hookimpl,
    read_image,
    unique_names,
)
from segkit_plugins.dataset._decoding import decode_image
from segkit_plugins.dataset._mask_files import MaskFolder
from segkit_plugins.dataset._remote import as_path, fetch, find_addresses, is_address, stem_of
from segkit_plugins.shared.reading import check_file
from segkit_plugins.shared.sentences import did_you_mean

LONGEST = 1 << 15
"""Bytes of a line in a list, at most: paths have less."""

MOST = 1 << 30
"""Bytes of a list, at most."""

COMPARED = 10_000
"""So many names at most are looked through for the one that was meant."""


class Files(Dataset):
    """The images that the command line names, in that order, each under its file's stem."""

    name = "files"
    concurrent = True

    paths: tuple[str, ...] = ()
    """Images, folders of images, or patterns such as 'photos/**/*.jpg'; also addresses such as
    's3://bucket/photos/*.jpg', which need the extra `remote` and the library of their kind."""

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
        place = self._files[index]
        if is_address(place):
            return ()  # it is known by its pixels
        path = Path(place)
        return (path, *self._masks.files_of(path)) if self._masks else (path,)

    def __getitem__(self, index: int) -> tuple[Image, Truth | None]:
        """Read an image, and its mask if there are masks; `BadImageError` if one cannot be."""
        place = self._files[index]
        path: PurePath = stem_of(place) if is_address(place) else Path(place)
        if isinstance(path, Path):
            image = read_image(path, self.names[index])
        else:
            image = decode_image(fetch(place), place, self.names[index])
        return image, self._masks.truth(path, image.size) if self._masks else None

    @property
    def _files(self) -> tuple[str, ...]:
        return self._chosen[0]

    @cached_property
    def _names(self) -> tuple[str, ...]:
        if self._masks:
            _ = self._masks.files  # a folder that is missing is said before work begins
        return self._chosen[1]

    @cached_property
    def _chosen(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The files that take part, and the names that they have among all."""
        named = self._looked_up()
        return tuple(named), tuple(named.values())

    def _looked_up(self) -> dict[str, str]:
        """Path or address of each file that takes part, to its name."""
        if self.list is None:
            if not self.paths:
                raise UsageError(
                    "the data set 'files' has no images; name a photo, folder or pattern"
                )
            return _all_named(self.paths)
        lines = lines_of(self.list)
        listed = [line for line in lines if line.strip()]
        if not listed:
            raise UsageError(
                f"--files.list {self.list} names no image; write one a line, by its file or its "
                "name"
            )
        try:
            names = _all_named(self.paths or listed)
        except UsageError:
            if not self.paths:
                _check_lines(lines, self.list)
            raise
        return _named(names, listed, self.list) if self.paths else names

    @cached_property
    def _masks(self) -> MaskFolder | None:
        return None if self.masks is None else MaskFolder(self.masks)


def _all_named(sources: Sequence[str]) -> dict[str, str]:
    """The files and addresses that these mean, in this order, each with its name."""
    places: dict[str, None] = {}
    for remote, some in groupby(sources, is_address):
        if remote:
            places |= dict.fromkeys(place for one in some for place in find_addresses(one))
        else:
            places |= dict.fromkeys(find_image_files([as_path(one) for one in some]))
    names = unique_names([str(stem_of(p)) if is_address(p) else p for p in places])
    return dict(zip(places, names, strict=True))


def _check_lines(lines: Sequence[str], where: Path) -> None:
    """Raise `UsageError` for the first line that names a file which is not there."""
    for number, line in enumerate(lines, 1):
        path = Path(as_path(line)).expanduser()
        if line.strip() and not is_address(line) and not path.exists() and not has_magic(line):
            raise UsageError(
                f"--files.list {where} names {line} (line {number}), which is not there; drop the "
                "line or check the name"
            )


def _named(names: Mapping[str, str], listed: Sequence[str], where: Path) -> dict[str, str]:
    """The files that lines name. Raises `UsageError` for a line that names none of them."""
    by_name = {name: path for path, name in names.items()}
    by_file = {_whole(path): path for path in names}
    wanted = set()
    for line in listed:
        path = by_name.get(line) or by_file.get(_whole(line))
        if path is None:
            near = list(by_name) if len(by_name) <= COMPARED else []  # many take long to compare
            hint = did_you_mean(line, near, "drop the line, or name its folder too")
            raise UsageError(
                f"--files.list {where} has '{line}', which is none of the {len(names)} images; "
                f"{hint}"
            )
        wanted.add(path)
    return {path: name for path, name in names.items() if path in wanted}


def _whole(place: str) -> str:
    """A path from the root on; an address as it is."""
    return place if is_address(place) else os.path.abspath(place)  # noqa: PTH100 - keeps links


@lru_cache(maxsize=1)
def _piped() -> tuple[str, ...]:
    """The lines of standard input, which can be read but once, whatever asks again."""
    return tuple(_lines(sys.stdin.buffer, Path("-")))


def lines_of(source: Path) -> tuple[str, ...]:
    """The lines of a file, or of standard input for -; some may be empty.

    Raises `UsageError` if it cannot be read.
    """
    if str(source) == "-":
        return _piped()
    try:
        check_file(source)
        with source.open("rb") as file:
            return tuple(_lines(file, source))
    except OSError as error:
        raise UsageError(
            f"--files.list {source} could not be read: {error.strerror or error}; check its path"
        ) from None


def _lines(file: IO[bytes], source: Path) -> Iterator[str]:
    """Lines that name files, whose bytes need not be text, one by one.

    Raises `UsageError` for what can be no list: a line that no path is as long as, a zero byte, and
    more lines than there are images anywhere.
    """
    left = MOST
    while line := file.readline(LONGEST + 1):
        left -= len(line)
        wrong = "holds a zero byte" if b"\0" in line else ""
        if len(line) > LONGEST:
            wrong = f"has a line of more than {LONGEST >> 10} KiB"
        if left < 0:
            wrong = f"has more than {MOST >> 20} MiB"
        if wrong:
            raise UsageError(
                f"--files.list {source} {wrong}, so it is no list of images; write one a line, by "
                "its file or its name"
            )
        text = os.fsdecode(line.removesuffix(b"\n").removesuffix(b"\r"))
        yield text


@hookimpl
def segkit_datasets() -> Sequence[type[Dataset]]:
    """Register `files`."""
    return [Files]
