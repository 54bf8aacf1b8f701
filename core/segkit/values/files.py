"""Files: written whole or not at all, read line by line, known by their hash."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segkit.values.reading import check_file

BLOCK = 1 << 20
"""Bytes that are read at once."""

SCRAP = re.compile(r"\.[0-9a-f]{32}\.part")
"""Names of files that a crash has left half written."""


def write_file(path: str | Path, content: str | bytes, *, sync: bool = False) -> Path:
    """Write a file that is either whole or not there, and return its path.

    An old file stays until the new one is complete: one beside it is renamed. Missing folders are
    made; text is written as UTF-8. `sync`: the content has reached the disk when it returns.

    Raises `OSError` where the file cannot be written (disk full); then nothing is left behind.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with part.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    return path


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
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    for row in text.split("\n"):
        try:
            value = json.loads(row)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield value
