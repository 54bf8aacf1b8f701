"""Files: written whole or not at all, read line by line, known by their hash."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import time
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from segkit.values.reading import check_file

BLOCK = 1 << 20
"""Bytes that are read at once."""

SCRAP = re.compile(r"\.[0-9a-f]{32}\.part")
"""Names of files that a crash has left half written."""

_AT_ONCE = 8
"""So many files are synced at once: most file systems then write their journal once for all."""


def write_file(path: str | Path, content: str | bytes, *, sync: bool = False) -> Path:
    """Write a file that is either whole or not there, and return its path.

    An old file stays until the new one is complete: one beside it is renamed. Missing folders are
    made; text is written as UTF-8. `sync`: file and folder have reached the disk when it returns.

    Raises `OSError` where the file cannot be written (disk full); then nothing is left behind.
    """
    with writing(path, sync=sync) as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return Path(path)


@contextlib.contextmanager
def writing(path: str | Path, *, sync: bool = False) -> Iterator[BinaryIO]:
    """The same for what is written piece by piece: the file is there when the block ends well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with part.open("xb") as file:  # never through a link that somebody has laid there
            yield file
            if sync:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
        if sync:
            _sync(path.parent, folder=True)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def sync_files(paths: Iterable[Path], folders: Iterable[Path] = ()) -> None:
    """Return when these files, and then these folders, have reached the disk.

    What is no longer there, or may not be read, is passed over. Raises `OSError` where the disk
    refuses.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(_sync, {*paths}):
            pass
        for _ in pool.map(partial(_sync, folder=True), {*folders}):
            pass


def _sync(path: Path, *, folder: bool = False) -> None:
    if folder and os.name == "nt":
        return  # Windows opens no folders
    try:
        number = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        return
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # what this disk has no word for
            raise
    finally:
        os.close(number)


def clear_scrap(folder: Path, *, age: float = 0.0) -> None:
    """Remove what a crash has left half written in a folder, if it is `age` seconds old.

    Files that cannot be removed stay.
    """
    with contextlib.suppress(OSError):
        for path in folder.glob(".*.part"):
            if SCRAP.fullmatch(path.name):
                with contextlib.suppress(OSError):
                    if time.time() - path.lstat().st_mtime >= age:
                        path.unlink()


def sha256(path: Path) -> str:
    """A file's SHA-256. Raises `OSError` if it cannot be read, or is no ordinary file."""
    check_file(path)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file with one to a line.

    A line that was cut off or holds no object is left out; a file that is not there has none. Only
    a newline ends a line: names may hold what `str.splitlines` takes for an end. Raises `OSError`
    where the file is there and cannot be read.
    """
    try:
        file = path.open(encoding="utf-8", errors="replace", newline="\n")
    except FileNotFoundError:
        return
    with file:
        for row in file:
            try:
                value = json.loads(row)
            except (ValueError, RecursionError):
                continue
            if isinstance(value, dict):
                yield value
