"""Names of images, made of those of their files: differing, and fit for files of all sorts."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path


def unique_names(paths: Sequence[str | Path]) -> tuple[str, ...]:
    """One name a file: its stem; a second file of that stem gets `-2`, and so on.

    A number that would make another file's stem is skipped. Names that differ only by case or by
    Unicode's way of composing letters count as the same, since some file systems cannot keep both.
    A backslash, which parts folders on other systems, becomes `_`; of a stem of more than 180 bytes
    the beginning stays, with a hash behind it, so that a suffix has room.
    """
    return distinct([file_name(Path(p).stem) for p in paths])


LONGEST = 180
"""Bytes of an image's name; most file systems take 255 for a whole file's name."""


def file_name(stem: str) -> str:
    """A stem as a name that files of all sorts can have."""
    name = stem.replace("\\", "_")
    content = os.fsencode(name)
    if len(content) <= LONGEST:
        return name
    digest = hashlib.sha256(os.fsencode(stem)).hexdigest()[:8]
    kept = content[:LONGEST].decode("utf-8", "ignore")
    return f"{kept}-{digest}"


def distinct(stems: Sequence[str]) -> tuple[str, ...]:
    """The names, each that came before with a number behind it, as `unique_names` says."""
    keys = [folded(stem) for stem in stems]
    reserved = {*keys}
    used: set[str] = set()
    names = []
    for stem, own in zip(stems, keys, strict=True):
        name, key, number = stem, own, 1
        while key in used or (number > 1 and key in reserved):
            number += 1
            name = f"{stem}-{number}"
            key = folded(name)
        used.add(key)
        names.append(name)
    return tuple(names)


def folded(name: str) -> str:
    """The same string for names that a file system may take as one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
