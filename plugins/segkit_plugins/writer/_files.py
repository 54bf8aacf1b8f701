"""Files of a run: named for their images, whole or not there, and those of finished images."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from segkit import BadValueError, Image, write_file
from segkit.values.spreading import levels_in, subfolder

if TYPE_CHECKING:
    import PIL.Image


def file_for(directory: Path, folder: str, name: str, suffix: str, *, spread: bool = False) -> Path:
    """The file for an image's name in a folder of the run.

    `spread`: in a subfolder, where the run has so many images that it has subfolders. Folders whose
    layout is another program's have none. Raises `BadValueError` for a name that would lead out of
    the folder.
    """
    return _file_at(directory / folder, name, suffix, levels_in(directory) if spread else 0)


def _file_at(folder: Path, name: str, suffix: str, levels: int) -> Path:
    if Path(name).name != name or "\\" in name or "\0" in name:
        raise BadValueError(
            f"an image's name should be a file's name, but is {name!r}; "
            "the data set should name its images with segkit.unique_names"
        )
    return folder / f"{subfolder(name, levels)}{name}{suffix}"


def write_json(path: Path, content: object) -> Path:
    """Write a JSON file, in ASCII: a name need not be text that UTF-8 can say."""
    return write_file(path, json.dumps(content).encode())


def photo_for(
    directory: Path, folder: str, image: Image, form: str, *, spread: bool = False
) -> Path:
    """The photo's file in a folder of the run; `form`: jpg, png, or none (then as if jpg)."""
    suffix = ".png" if form == "png" else ".jpg"
    return file_for(directory, folder, image.name, suffix, spread=spread)


def write_jpeg(path: Path, picture: PIL.Image.Image, quality: int = 90) -> Path:
    """Write a picture as a JPEG, whole or not at all, with colours of its full resolution."""
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=quality, subsampling=0)
    return write_file(path, content.getvalue())


def write_photo(path: Path, image: Image, form: str) -> tuple[Path, ...]:
    """Write the image's pixels without loss as PNG, or as a JPEG of high quality, or not (none)."""
    import PIL.Image

    if form == "none":
        return ()
    picture = PIL.Image.fromarray(image.pixels)
    if form == "jpg":
        return (write_jpeg(path, picture, quality=95),)
    content = io.BytesIO()
    picture.save(content, "PNG")
    return (write_file(path, content.getvalue()),)


def finished_files(
    directory: Path, folder: str, suffix: str, images: Sequence[str], *, spread: bool = False
) -> Iterator[Path]:
    """The files of these images that a folder of the run holds, sorted by name."""
    levels = levels_in(directory) if spread else 0
    for name in sorted(images, key=lambda name: name + suffix):
        file = _file_at(directory / folder, name, suffix, levels)
        if file.exists():
            yield file
