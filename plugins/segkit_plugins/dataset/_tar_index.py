"""Where the images of tar archives lie, and ways to know it without reading every header.

Listing costs a read for each file in an archive, and an archive far away or packed is read as a
whole for it. So the index of a data set that took long is kept in the cache, for the next run and
for each worker, and an index that lies beside an archive (`wds2idx` of NVIDIA's DALI makes it) is
taken in place of the headers.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from segkit import write_file
from segkit_plugins.dataset._remote import stamp_of
from segkit_plugins.dataset._tars import BLOCK, Member, members
from segkit_plugins.shared.fetching import cache_folder

FORMAT = 1
"""Of kept indexes; another one is not read."""

_COLUMNS = ("image", "size", "mask", "mask size")


@dataclass
class Index:
    """Where each image lies: columns, for there may be millions."""

    keys: list[str] = field(default_factory=list)
    tars: array[int] = field(default_factory=lambda: array("q"))
    places: dict[str, array[int]] = field(
        default_factory=lambda: {key: array("q") for key in _COLUMNS}
    )
    """Where the content of image and mask begin, and their sizes; a mask at -1 is missing."""
    suffixes: list[str] = field(default_factory=list)


# ---- kept in the cache -------------------------------------------------------------------------


def place_of(tars: Sequence[Path | str], *options: str) -> Path | None:
    """The file that keeps the index of these archives as they are now; None: nobody can tell.

    Archives are known by path, size and time of change, or what an object store has for these.
    """
    digest = hashlib.sha256(json.dumps([FORMAT, *options]).encode())
    try:
        for tar in tars:
            if isinstance(tar, Path):
                status = tar.stat()
                stamp = f"{tar.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"
            else:
                stamp = f"{tar}\0{stamp_of(tar)}"
            digest.update(f"{stamp}\0\0".encode("utf-8", "surrogateescape"))
    except Exception:  # object stores raise their own; said when the archive is listed
        return None
    return cache_folder().parent / "archives" / f"{digest.hexdigest()[:32]}.npz"


def kept(place: Path) -> Index | None:
    """The index that is kept in this file; None where there is none that can be read."""
    try:
        with np.load(io.BytesIO(place.read_bytes()), allow_pickle=False) as file:
            keys, suffixes = _texts(file["keys"]), _texts(file["suffixes"])
            columns = {name: array("q", file[name].astype("<i8").tobytes()) for name in _COLUMNS}
            tars = array("q", file["tars"].astype("<i8").tobytes())
    except Exception:  # damaged files make numpy and zipfile raise many things
        return None
    lengths = {len(keys), len(suffixes), len(tars), *map(len, columns.values())}
    return Index(keys, tars, columns, suffixes) if len(lengths) == 1 and keys else None


def keep(place: Path, index: Index) -> None:
    """Keep an index in this file, where the disk takes it."""
    columns: dict[str, Any] = {name: np.asarray(part) for name, part in index.places.items()}
    columns |= {"keys": _packed(index.keys), "suffixes": _packed(index.suffixes)}
    content = io.BytesIO()
    np.savez(content, tars=np.asarray(index.tars), **columns)
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        write_file(place, content.getvalue())


def _packed(texts: Iterable[str]) -> np.ndarray:
    return np.frombuffer("\0".join(texts).encode("utf-8", "surrogateescape"), np.uint8)


def _texts(packed: np.ndarray) -> list[str]:
    return packed.tobytes().decode("utf-8", "surrogateescape").split("\0")


# ---- beside an archive -------------------------------------------------------------------------


def listed(tar: Path, file: IO[bytes], size: int) -> Iterator[Member]:
    """The files in a plain archive: those of the index beside it, or else as `members` has them."""
    beside = _beside(tar, file, size)
    return iter(beside) if beside is not None else members(file, size)


def _beside(tar: Path, file: IO[bytes], size: int) -> list[Member] | None:
    """What TAR.idx has; None where there is none, it is older, or it is not of this archive.

    Its first line is `v1.2 SAMPLES`, each other one has the files of a sample, each as suffix,
    place of the content, size and name. That first and last are there is looked up.
    """
    path = tar.with_suffix(".idx")
    try:
        if path.stat().st_mtime < tar.stat().st_mtime:
            return None
        rows = path.read_text("utf-8", "surrogateescape").splitlines()
        version, count = rows[0].split()
        if version != "v1.2" or int(count) != len(rows) - 1:
            return None
        files = [
            Member(words[i + 3], int(words[i + 1]), int(words[i + 2]))
            for words in map(str.split, rows[1:])
            for i in range(0, len(words), 4)
        ]
        last = files[-1]
        whole = last.start + last.size <= size and max(f.start for f in files) == last.start
        return files if whole and _is_at(file, files[0]) and _is_at(file, last) else None
    except (OSError, ValueError, IndexError):
        return None


def _is_at(file: IO[bytes], member: Member) -> bool:
    """Whether the header before a member's content is its own."""
    file.seek(member.start - BLOCK)
    try:
        info = tarfile.TarInfo.frombuf(file.read(BLOCK), "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    return info.name == member.name and info.size == member.size
