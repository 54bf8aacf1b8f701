"""Lists the images of this process alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import PrivateAttr

from segkit import Image, Writer, hookimpl


class InMemory(Writer):
    """Lists the images of this process alone."""

    name = "in-memory"

    _seen: list[str] = PrivateAttr(default_factory=list)

    def write(self, directory: Path, image: Image) -> tuple[Path, ...]:
        self._seen.append(image.name)
        return ()

    def finish(self, directory: Path, images: Sequence[str]) -> None:
        (directory / "names.txt").write_text("\n".join(sorted({*self._seen})))


@hookimpl
def segkit_writers():
    return [InMemory]
