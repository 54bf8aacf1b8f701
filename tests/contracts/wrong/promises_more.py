"""Names a file in the end that it has not written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from segkit import Image, Writer, hookimpl


class PromisesMore(Writer):
    """A file for each image, and, as it says, one for all."""

    name = "promises-more"

    def write(self, directory: Path, image: Image) -> tuple[Path, ...]:
        path = directory / "promises-more" / image.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        return (path,)

    def finish(self, directory: Path, images: Sequence[str]) -> tuple[Path, ...]:
        return (directory / "promises-more.txt",)


@hookimpl
def segkit_writers():
    return [PromisesMore]
