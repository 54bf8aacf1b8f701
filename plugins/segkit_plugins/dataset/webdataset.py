"""WebDataset: tar archives in which the files of one image follow each other."""

from __future__ import annotations

import gzip
import re
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import PrivateAttr

from segkit import (
    BadImageError,
    Dataset,
    Image,
    MissingExtraError,
    SegkitWarning,
    Truth,
    UsageError,
    hookimpl,
    unique_names,
)
from segkit_plugins.dataset._decoding import SUFFIXES, decode_image, decode_mask
from segkit_plugins.dataset._mask_files import MaskMeaning, MaskValues
from segkit_plugins.dataset._remote import as_path, find_addresses, is_address, open_address
from segkit_plugins.dataset._tar_index import Index, keep, kept, listed, place_of
from segkit_plugins.dataset._tars import DAMAGES, CutOffError, Reader, members
from segkit_plugins.shared.name_tables import object_class_names
from segkit_plugins.shared.reading import check_file
from segkit_plugins.shared.sentences import first_line

LARGEST = 1 << 30
"""Bytes of an image's file, at most."""

LONG = 1.0
"""Seconds that listing has to take for its result to be kept."""

ARCHIVES = frozenset({".tar", ".tgz", ".gz"})
"""The suffixes of archives in folders of an object store."""

_LOCK = threading.Lock()
"""Threads that read ahead take turns; no attribute, for a data set can be pickled."""

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


class WebDataset(Dataset):
    """Tar archives in WebDataset's layout: files of one image have one key and follow each other.

    The key is the file's path up to the first dot of its name, so `0001.jpg` and `0001.mask.png`
    are one image. Of an archive the headers are read to start with, no image; images are then read
    one at a time, in order. An image is called by its key's last part. Packed archives (`.tar.gz`)
    work too, but have to be unpacked to be listed. An index that `wds2idx` has left beside an
    archive (`train-000.idx`) is read in place of its headers. What takes more than a second to list
    is kept in `$SEGKIT_CACHE/archives`, for the next run and for workers, until an archive changes.

    An archive that is cut off is told, and the images before the cut are used.
    """

    name = "webdataset"

    shards: tuple[str, ...]
    """Archives, folders of them, or patterns: 'train/*.tar', 'train-{000..146}.tar'; also addresses
    such as 's3://bucket/train-{000..146}.tar', which are read once to be listed."""

    image: str = ""
    """The suffix of images, behind the key's dot, such as jpg; left out, the first of an image that
    is not that of masks."""

    mask: str = ""
    """The suffix of masks, such as mask.png; left out, there is no truth."""

    class_names: tuple[str, ...] = ()
    """The names of the class ids 1, 2, …; or one text file with a name a line. A first name
    'background' stands for id 0."""

    values: MaskValues = "auto"
    """What a mask's values mean. ids: class ids, 255 is void. object: all but 0 is one object.
    auto: object if the first 50 masks hold only 0 and 1 or only 0 and 255, else ids."""

    _reading: Reader | None = PrivateAttr(None)

    @property
    def names(self) -> Sequence[str]:
        """The keys' last parts; a second one gets '-2'. Raises `UsageError` without an image."""
        return self._names

    @property
    def classes(self) -> Mapping[int, str]:
        """The named ids; {1: 'object'} for masks of one nameless object."""
        return self._meaning.classes if self.mask else {}

    @property
    def has_truth(self) -> bool:
        """Whether masks are named."""
        return bool(self.mask)

    def files_of(self, index: int) -> Sequence[Path]:
        """The archive, if it is on this machine."""
        tar = self._tars[self._index.tars[index]]
        return (tar,) if isinstance(tar, Path) else ()

    def __getstate__(self) -> dict[Any, Any]:
        """What is pickled: all but the archive that is open."""
        state = super().__getstate__()
        private = {**state["__pydantic_private__"], "_reading": None}
        return {**state, "__pydantic_private__": private}

    def close(self) -> None:
        """Close the archive that is open."""
        with _LOCK:
            if self._reading is not None:
                self._reading.close()
                self._reading = None

    def __getitem__(self, index: int) -> tuple[Image, Truth | None]:
        """Read an image, and its mask; `BadImageError` if one of them cannot be."""
        index = range(len(self.names))[index]
        where = f"{self._index.keys[index]}.{self._index.suffixes[index]}"
        image = decode_image(self._content(index, "image", where), where, self.names[index])
        if not self.mask:
            return image, None
        if self._index.places["mask"][index] < 0:
            raise BadImageError(
                f"'{where}' has no {self.mask} beside it in "
                f"'{self._tars[self._index.tars[index]]}'; add it, "
                "or leave the image out",
                cause="no truth",
            )
        return image, self._meaning.truth_of(self._mask(index, image.size), where)

    def _mask(self, index: int, size: tuple[int, int] | None = None) -> NDArray[np.int32]:
        where = f"{self._index.keys[index]}.{self.mask}"
        return decode_mask(self._content(index, "mask", where), where, size)

    def _content(self, index: int, what: str, where: str) -> bytes:
        """What a member holds. Raises `BadImageError`."""
        places, tar = self._index.places, self._index.tars[index]
        size = places["size" if what == "image" else "mask size"][index]
        if size > LARGEST:
            raise BadImageError(f"'{where}' has more than {LARGEST >> 20} MiB; leave it out")
        try:
            with _LOCK:
                self._reading = self._reading or Reader(lambda i: _opened(self._tars[i]))
                return self._reading.read(tar, places[what][index], size)
        except CutOffError as error:
            problem, advice = f"is cut off in {where} ({error})", "copy it again"
        except (UsageError, MissingExtraError):
            raise
        except Exception as error:  # object stores raise their own
            problem = f"cannot be read ({getattr(error, 'strerror', None) or first_line(error)})"
            advice = "mend that, or leave it out"
        raise BadImageError(f"'{self._tars[tar]}' {problem}; {advice}")

    @cached_property
    def _tars(self) -> tuple[Path | str, ...]:
        tars = [tar for shard in self.shards for text in _ranged(shard) for tar in _found(text)]
        if not tars:
            raise UsageError(
                "the data set 'webdataset' has no archives; name them as --webdataset.shards"
            )
        return tuple(dict.fromkeys(tars))

    @cached_property
    def _index(self) -> Index:
        place = place_of(self._tars, self.image, self.mask)
        index = kept(place) if place is not None else None
        if index is None:
            begin = time.monotonic()
            index, whole = self._listed()
            if place is not None and whole and time.monotonic() - begin > LONG:
                keep(place, index)
        return index

    def _listed(self) -> tuple[Index, bool]:
        """The index from the archives themselves, and whether none of them is cut off."""
        index, whole = Index(), True
        for number, path in enumerate(self._tars):
            whole = self._list(number, path, index) and whole
        if not index.keys:
            wanted = (
                f"with the suffix {self.image}" if self.image else "that is an image by its suffix"
            )
            raise UsageError(
                f"'{self._tars[0]}' holds no file {wanted}; see what it holds by tar -tf"
            )
        return index, whole

    def _list(self, number: int, path: Path | str, index: Index) -> bool:
        """Add an archive's images; whether it is whole. Raises `UsageError` for no archive."""
        before = len(index.keys)
        key, parts = "", dict[str, tuple[int, int]]()
        cut: CutOffError | None = None
        try:
            if isinstance(path, Path):
                check_file(path)
            with _opened(path) as file:
                if isinstance(path, Path) and not isinstance(file, gzip.GzipFile):
                    files = listed(path, file, path.stat().st_size)
                else:
                    files = members(file, getattr(file, "size", None))
                try:
                    for member in files:
                        folder, slash, last = member.name.rpartition("/")
                        stem, _, suffix = last.partition(".")
                        if folder + slash + stem != key or suffix in parts:
                            self._add(number, key, parts, index)
                            key, parts = folder + slash + stem, {}
                        parts[suffix] = member.start, member.size
                except CutOffError as error:
                    cut = error
                except DAMAGES as error:
                    if not key and not isinstance(error, EOFError):
                        raise
                    cut = CutOffError(str(error))
        except (UsageError, MissingExtraError):
            raise
        except Exception as error:  # object stores raise their own
            reason = getattr(error, "strerror", None) or first_line(error)
            raise UsageError(
                f"'{path}' is no tar archive that can be read ({reason}); name others as "
                "--webdataset.shards"
            ) from None
        self._add(number, key, parts, index)
        if cut is not None:
            last = f", the last of which is {index.keys[-1]}" if len(index.keys) > before else ""
            warnings.warn(
                f"'{path}' is cut off ({cut}); it gives {len(index.keys) - before} images{last}; "
                "copy it again for the others",
                SegkitWarning,
                stacklevel=2,
            )
        return cut is None

    def _add(
        self, number: int, key: str, parts: Mapping[str, tuple[int, int]], index: Index
    ) -> None:
        """Add an image, if there is one among the files of a key."""
        suffix = self.image if self.image in parts else ""
        if not self.image:
            fits = (s for s in parts if s != self.mask and f".{s}".lower() in SUFFIXES)
            suffix = next(fits, "")
        if suffix and not key.rpartition("/")[2].startswith("."):
            index.keys.append(key)
            index.tars.append(number)
            index.suffixes.append(suffix)
            row = (*parts[suffix], *parts.get(self.mask, (-1, 0)))
            for column, value in zip(index.places.values(), row, strict=True):
                column.append(value)

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return unique_names([f"{key.rpartition('/')[2] or 'image'}.x" for key in self._index.keys])

    @cached_property
    def _meaning(self) -> MaskMeaning:
        return _Masks(self, object_class_names(self.class_names))


class _Masks(MaskMeaning):
    """What the masks of archives mean."""

    def __init__(self, of: WebDataset, names: Sequence[str]) -> None:
        super().__init__(names, of.values)
        self._of = of

    def looked_at(self) -> Iterator[NDArray[np.int32]]:
        """The first masks."""
        for index, place in enumerate(self._of._index.places["mask"]):
            if place >= 0:
                with suppress(BadImageError):  # said when its image's turn comes
                    yield self._of._mask(index)


def _opened(path: Path | str) -> IO[bytes]:
    """An archive, unpacked as it is read. Raises `OSError`."""
    if isinstance(path, str):
        file = open_address(path)
        return cast(IO[bytes], gzip.GzipFile(fileobj=file)) if path.endswith("gz") else file
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.GzipFile(path)) if packed else path.open("rb")


def _ranged(text: str) -> Iterator[str]:
    """`a-{00..02}.tar` as a-00.tar, a-01.tar, a-02.tar. Raises `UsageError` for endless ones."""
    match = _RANGE.search(text)
    if match is None:
        yield text
        return
    first, last = int(match[1]), int(match[2])
    if last - first > 1_000_000:
        raise UsageError(f"--webdataset.shards {text} means too many archives; name fewer")
    for number in range(first, last + 1):
        middle = str(number).zfill(len(match[1]))
        yield from _ranged(text[: match.start()] + middle + text[match.end() :])


def _found(text: str) -> Sequence[Path | str]:
    """The archives that a path, address or pattern means. Raises `UsageError` for none."""
    import glob

    if is_address(text):
        return find_addresses(text, ARCHIVES)
    path = Path(as_path(text)).expanduser()
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.name.endswith((".tar", ".tar.gz", ".tgz")))
    elif path.exists() or not glob.has_magic(text):
        found = [path]
    else:
        found = sorted(Path(p) for p in glob.glob(str(path), recursive=True))  # noqa: PTH207
    if not found or not all(p.exists() for p in found):
        raise UsageError(
            f"--webdataset.shards '{text}' means no archive that is there; name tar files, a "
            "folder of them or a pattern"
        )
    return found


@hookimpl
def segkit_datasets() -> Sequence[type[Dataset]]:
    """Register `webdataset`."""
    return [WebDataset]
