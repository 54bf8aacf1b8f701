"""Shards: the images of a data set divided among runs that know nothing of each other."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from segkit.errors import UsageError, shortened

LARGEST = 1_000_000
"""So many shards there may be."""


@dataclass(frozen=True)
class Shard:
    """One of `count` parts of a data set; each image is in one of them, by its name alone."""

    number: int
    """From 1 to `count`."""
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard that `I/N` means. Raises `UsageError` for anything else, and I beyond N."""
        match = re.fullmatch(r"([0-9]{1,7})/([0-9]{1,7})", text.strip())
        number, count = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= number <= count <= LARGEST:
            raise UsageError(
                f"--shard should be I/N with I from 1 to N, such as 2/8, but is '{shortened(text)}'"
            )
        return cls(number, count)

    @classmethod
    def of(cls, text: str | None) -> Shard | None:
        """The same where a shard is asked for at all."""
        return None if text is None else cls.parse(str(text))

    def holds(self, name: str) -> bool:
        """Whether the image of this name is in it.

        That is by the first 64 bits of the name's SHA-256, so neither the order of the images nor
        the machine matters.
        """
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"
