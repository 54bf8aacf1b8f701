"""Lists all pictures that it has a file of, whether they are finished or not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from segkit import Image, Writer, hookimpl


class CountsAllFiles(Writer):
    """A file for each image, and a list of them."""

    name = "counts-all-files"

    def write(self, directory: Path, image: Image) -> tuple[Path, ...]:
        path = directory / "counts-all-files" / f"{image.name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        return (path,)

    def finish(self, directory: Path, images: Sequence[str]) -> tuple[Path, ...]:
        names = sorted(path.stem for path in (directory / "counts-all-files").glob("*.txt"))
        path = directory / "counts-all-files.csv"
        path.write_text("\n".join(names))
        return (path,)


@hookimpl
def segkit_writers():
    return [CountsAllFiles]
