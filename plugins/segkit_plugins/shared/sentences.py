"""Parts of error sentences: the first line of another library's error, the name that was meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

LONGEST = 200
"""Characters of another library's error that a sentence quotes, at most."""


def first_line(error: BaseException) -> str:
    """An error's first line without its full stop, to stand in brackets; its class if it is mute.

    At most `LONGEST` characters.
    """
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")[:LONGEST]


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """The advice to take the nearest known name, or `otherwise` where none is near."""
    nearest = get_close_matches(name, list(known), n=1)
    return f"did you mean '{nearest[0]}'?" if nearest else otherwise
