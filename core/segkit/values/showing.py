"""Values in one line, as Python prints them: what they hold in a few words, no arrays."""

from __future__ import annotations

from collections.abc import Sequence

MOST = 6
"""So many of several are named."""


def pixels_of(size: Sequence[int]) -> str:
    """The size (H, W) as people say it: 640x480."""
    return f"{size[1]}x{size[0]}"


def counted(number: int, what: str) -> str:
    """1 point, 2 points."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def listed(words: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = [f"… {len(words) - MOST} more"] if len(words) > MOST else []
    return ", ".join([*words[:MOST], *more])


def scored(name: str | None, score: float, quality: float | None = None) -> str:
    """A class with its score, and its quality where there is one: cat 0.93, quality 0.8."""
    judged = "" if quality is None else f" (quality {quality:.2f})"
    return f"{name or 'nameless'} {score:.2f}{judged}"
