"""Parts of error sentences: the first line of another library's error, the name that was meant."""

from __future__ import annotations

from segkit.errors import did_you_mean as did_you_mean

LONGEST = 200
"""Characters of another library's error that a sentence quotes, at most."""


def first_line(error: BaseException) -> str:
    """An error's first line without its full stop, to stand in brackets; its class if it is mute.

    At most `LONGEST` characters.
    """
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")[:LONGEST]
