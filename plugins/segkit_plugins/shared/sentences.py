"""Parts of error sentences: the first line of another library's error, the name that was meant."""

from __future__ import annotations

import re

from segkit.errors import did_you_mean as did_you_mean

_NUMBERED = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
"""How ONNX Runtime begins each of its errors."""

LONGEST = 200
"""Characters of another library's error that a sentence quotes, at most."""


def first_line(error: BaseException) -> str:
    """An error's first line without its full stop, to stand in brackets; its class if it is mute.

    Of a file's error the reason alone. At most `LONGEST` characters.
    """
    text = str(error).strip() or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
    text = _NUMBERED.sub("", text)
    return text.splitlines()[0].rstrip(".")[:LONGEST]
