"""Subfolders for the files of many images: a folder of millions is slow, and some disks refuse it.

Whether a run has them is settled when it begins, by how many images its data set has, and stands in
the first line of its notes: one that began without stays as it is.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path

LEDGER = "segkit-run.jsonl"
"""A run's notes; see `segkit.running.ledger`."""

KEY = "levels"
"""In the first line of the notes: how deep the subfolders are; not there where there are none."""

MOST = 10_000
"""So many images' files lie in one folder, as a rule."""

WIDTH = 256
"""So many subfolders a folder has."""

DEEPEST = 2


def levels_for(count: int) -> int:
    """How deep the subfolders are for so many images: 0, none, up to 10,000."""
    levels = 0
    while count > MOST and levels < DEEPEST:
        levels, count = levels + 1, count // WIDTH
    return levels


def levels_in(directory: Path) -> int:
    """How deep the subfolders of a run's folder are; 0 where it is no run's."""
    with suppress(OSError, ValueError, RecursionError), (directory / LEDGER).open("rb") as file:
        return levels_said(json.loads(file.readline(1 << 16)))
    return 0


def levels_said(head: object) -> int:
    """What the first line of a run's notes says of it."""
    said = head.get(KEY) if isinstance(head, dict) else None
    return said if isinstance(said, int) and 0 <= said <= DEEPEST else 0


def subfolder(name: str, levels: int) -> str:
    """Where an image's files lie in a folder: empty, or such as `3f/`, by its name alone.

    These are the first bytes of the name's SHA-256.
    """
    if not levels:
        return ""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return "".join(f"{digest[2 * i : 2 * i + 2]}/" for i in range(levels))
