"""Reading files that somebody else named: ordinary files alone, and no more of them than can be.

A pipe never answers, and a device such as /dev/zero never ends. Each function that reads raises
`OSError`, whose `strerror` is the reason in words.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import sys
from pathlib import Path
from typing import Any

MOST = 1 << 30
"""So many bytes are read at most, unless something else is asked for."""

DEEPEST = 1000
"""So many dots may a key of TOML have, as in `a.b.c`; reading takes the square of that."""

_OTHERS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def check_file(path: str | Path) -> None:
    """Raise `OSError` for what is no ordinary file: nothing, a folder, a device, a pipe, a socket.

    Links are followed.
    """
    try:
        mode = Path(path).stat().st_mode
    except ValueError:  # a zero byte
        raise OSError(errno.EINVAL, "its name holds a zero byte", str(path)) from None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        what = _OTHERS.get(stat.S_IFMT(mode), "something else")
        raise OSError(errno.EINVAL, f"it is {what}, not a file", str(path))


def read_bytes(path: str | Path, most: int = MOST) -> bytes:
    """What an ordinary file holds. Raises `OSError`, also for one of more than `most` bytes."""
    check_file(path)
    with Path(path).open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it has more than {most >> 20} MiB", str(path))
    return content


def read_text(path: str | Path, errors: str = "strict", most: int = MOST) -> str:
    """The text of an ordinary file in UTF-8, its lines ended by newlines alone.

    Raises `OSError` as `read_bytes` does, and for bytes that are no text.
    """
    try:
        text = read_bytes(path, most).decode("utf-8-sig", errors)
    except UnicodeDecodeError:
        raise OSError(errno.EILSEQ, "it is no UTF-8 text", str(path)) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parsed_json(text: str | bytes) -> Any:
    """What JSON says. Raises `ValueError` for what is none, and where it is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parsed_toml(text: str) -> dict[str, Any]:
    """What TOML says. Raises `ValueError` likewise."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    if any(piece.count(".") > DEEPEST for piece in re.split(r"""[={}\[\],"'\n]""", text)):
        raise ValueError("it is nested too deeply")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
