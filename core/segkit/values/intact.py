"""Whether a file can still be read, as far as its format tells: it was cut short, or zeroed."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

_TAIL = 4096
"""So many bytes from a JPEG's end its end marker may stand: some programs write behind it."""

_PICTURES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp"}


def is_intact(path: Path) -> bool:
    """Whether a file is there and its format's reader would take it, by the suffix of its name.

    Of pictures that is by their own check sums, or a JPEG's end; JSON is parsed; archives (.npz,
    .zip) are read through. Of other formats it is not known: a file that can be opened is intact.
    An empty one is, where it is of a format that is not known.
    """
    check = _CHECKS.get(path.suffix.lower(), _opens)
    try:
        return path.is_file() and check(path)
    except Exception:  # readers raise whatever they trip over
        return False


def _opens(path: Path) -> bool:
    with path.open("rb") as file:
        file.read(1)
    return True


def _picture(path: Path) -> bool:
    import PIL.Image

    with PIL.Image.open(path) as picture:
        picture.verify()
        jpeg = picture.format == "JPEG"
    if not jpeg:
        return True
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - _TAIL, 0))
        return b"\xff\xd9" in file.read()


def _json(path: Path) -> bool:
    json.loads(path.read_bytes())
    return True


def _archive(path: Path) -> bool:
    with zipfile.ZipFile(path) as file:
        return file.testzip() is None


_CHECKS = {
    **dict.fromkeys(_PICTURES, _picture),
    ".json": _json,
    ".npz": _archive,
    ".zip": _archive,
}
