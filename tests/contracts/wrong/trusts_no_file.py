"""Holds each of its files for damaged."""

from __future__ import annotations

from pathlib import Path

from segkit import Image, Writer, hookimpl


class TrustsNoFile(Writer):
    """A file for each image."""

    name = "trusts-no-file"

    def write(self, directory: Path, image: Image) -> tuple[Path, ...]:
        path = directory / "trusts-no-file" / f"{image.name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{image.pixels.mean():.3f}")
        return (path,)

    def is_intact(self, directory: Path, path: Path) -> bool:
        return path.read_text().startswith("mean")


@hookimpl
def segkit_writers():
    return [TrustsNoFile]
