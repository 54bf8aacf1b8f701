"""Files of a run: named for their images, whole or not there, and those of finished images."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from segkit import BadValueError, Image, write_file

if TYPE_CHECKING:
    import PIL.Image


def file_for(directory: Path, folder: str, name: str, suffix: str) -> Path:
    """The file for an image's name in a folder of the run.

    Raises `BadValueError` for a name that would lead out of the folder.
    """
    if Path(name).name != name or "\\" in name or "\0" in name:
        raise BadValueError(
            f"an image's name should be a file's name, but is {name!r}; "
            "the data set should name its images with segkit.unique_names"
        )
    return directory / folder / f"{name}{suffix}"


def write_json(path: Path, content: object) -> Path:
    """Write a JSON file, in ASCII: a name need not be text that UTF-8 can say."""
    return write_file(path, json.dumps(content).encode())


def photo_for(directory: Path, folder: str, image: Image, form: str) -> Path:
    """The photo's file in a folder of the run; `form`: jpg, png, or none (then as if jpg)."""
    return file_for(directory, folder, image.name, ".png" if form == "png" else ".jpg")


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


def finished_files(directory: Path, folder: str, suffix: str, images: Sequence[str]) -> list[Path]:
    """The files of these images that a folder of the run holds, sorted by name."""
    files = (file_for(directory, folder, name, suffix) for name in images)
    return sorted(file for file in files if file.exists())
