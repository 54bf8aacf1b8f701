"""Objects with names, class ids that hold for a whole run, and files that are written whole.

For the writers of annotation formats. Each has a folder of its own in the run's folder, with a
file `classes.json` of the class ids that its files use. A run that was cut off and goes on finds
the ids there, and the files of the images that it need not do again.
"""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segkit import (
    BACKGROUND,
    VOID,
    BadValueError,
    Image,
    Labels,
    Masks,
    Prompts,
    UsageError,
    id_of,
)

NAMELESS = "object"
"""The class of objects that have none."""


# ---- objects ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Found:
    """One object of an image."""

    name: str
    """Its class."""
    mask: NDArray[np.bool_]
    """(H, W) bool, at least one pixel."""
    score: float = 1.0
    """The mask's score; 1 for a class of a class map."""
    wanted: int | None = None
    """Its class's id in the class map, if it comes from one."""


def objects_in(
    who: str,
    masks: Masks | None,
    prompts: Prompts | None,
    labels: Labels | None,
    classes: Mapping[int, str] | None,
) -> list[Found]:
    """The objects of an image: its masks, or without masks one for each class of the class map.

    A mask's class is its own name, else its prompt's, else the one that most of its pixels have in
    the class map, else 'object'; a mask that is mostly background there is no object. Where the
    data set knows one class, 'object', all masks are that. Empty masks are left out, background
    and void are no objects.

    `who`: the writer, for the message of `UsageError` if there are neither masks nor a class map.
    """
    if masks is None and labels is None:
        raise UsageError(
            f"--write {who} needs masks or a class map, and nothing before it makes one; "
            "add --segmenter"
        )
    if masks is None:
        assert labels is not None
        return [
            Found(name, labels.ids == i, wanted=i) for i, name in named_ids(labels, classes).items()
        ]
    nameless = set((classes or {}).values()) == {NAMELESS}
    found = []
    for mask, score, prompt, own in zip(
        masks.masks, masks.scores, masks.prompt, masks.names, strict=True
    ):
        asked = prompts[prompt].name if prompts and prompt < len(prompts) else None
        name: str | None = NAMELESS if nameless else own or asked
        wanted = None
        if not mask.any():
            continue
        if name is None and labels is not None:
            wanted = _most_common(labels.ids[mask])
            if wanted == BACKGROUND:
                continue
            name = name_of(wanted, labels, classes)
        found.append(Found(name or NAMELESS, mask, round(float(score), 6), wanted))
    return found


def named_ids(labels: Labels, classes: Mapping[int, str] | None) -> dict[int, str]:
    """{id: name} of the classes that a class map shows, without background and void."""
    present = np.unique(labels.ids).tolist()
    return {i: name_of(i, labels, classes) for i in present if i not in (BACKGROUND, VOID)}


def name_of(i: int, labels: Labels, classes: Mapping[int, str] | None) -> str:
    """A class's name: the class map's, else the data set's, else 'class 7'."""
    return labels.classes.get(i) or (classes or {}).get(i) or f"class {i}"


def _most_common(ids: NDArray[np.int32]) -> int:
    """The most common id, void left out; of several the lowest, of none background."""
    counts = np.bincount(ids[ids != VOID], minlength=1)
    return int(counts.argmax())


# ---- class ids --------------------------------------------------------------------------------


class ClassIds:
    """The class ids of a writer's files, kept in its folder's `classes.json`: {id: name}.

    Those of the data set come first. A name that it lacks gets the id that the class map has for
    it if that is free, else the next free one, and keeps it for all images to come.
    """

    def __init__(self, folder: Path, classes: Mapping[int, str] | None = None) -> None:
        """Read what earlier images left. Raises `BadValueError` if the file is damaged."""
        self.path = folder / "classes.json"
        self.names = dict(sorted((classes or {}).items()))
        for i, name in self._stored().items():
            if i not in self.names and name not in self.names.values():
                self.names[i] = name

    def id(self, name: str, wanted: int | None = None) -> int:
        """The id of a class name, kept on the disk if it is new."""
        known = name in self.names.values()
        if not known and wanted is not None and wanted not in self.names:
            self.names[wanted] = name
        return id_of(name, self.names)

    def place(self, name: str) -> int:
        """The place of a class name among all, from 0, in the order in which they came."""
        self.id(name)
        return list(self.names.values()).index(name)

    @property
    def files(self) -> tuple[Path, ...]:
        """The file, if there is one."""
        return (self.path,) if self.path.exists() else ()

    def save(self) -> None:
        """Write the file, if it does not say the same already."""
        if self._stored() != self.names or not self.path.exists():
            write_json(self.path, self.names)

    def _stored(self) -> dict[int, str]:
        if not self.path.exists():
            return {}
        try:
            return {int(i): str(name) for i, name in json.loads(self.path.read_bytes()).items()}
        except (ValueError, AttributeError):
            raise BadValueError(
                f"'{self.path}' should hold the class names by id, but is damaged; run again "
                "with --overwrite"
            ) from None


# ---- files ------------------------------------------------------------------------------------


def write_whole(path: Path, content: bytes) -> Path:
    """Write a file that is either whole or not there; missing folders are made.

    Raises `OSError` where the file cannot be written; then nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return path


def write_json(path: Path, content: object) -> Path:
    """Write a JSON file, in ASCII: a name need not be text that UTF-8 can say."""
    return write_whole(path, json.dumps(content).encode())


def write_photo(path: Path, image: Image) -> Path:
    """Write the image's pixels as the file's suffix says: a PNG, or a JPEG of high quality."""
    import PIL.Image

    content = io.BytesIO()
    picture = PIL.Image.fromarray(image.pixels)
    if path.suffix == ".png":
        picture.save(content, "PNG")
    else:
        picture.save(content, "JPEG", quality=95, subsampling=0)
    return write_whole(path, content.getvalue())


def finished_files(directory: Path, folder: str) -> list[Path]:
    """The files in a folder of the run that belong to finished images, sorted by name.

    These are those that results.jsonl names, which holds the images that were done before a run
    was cut off, too; without that file, all in the folder.
    """
    results = directory / "results.jsonl"
    if not results.exists():
        return sorted((directory / folder).glob("*"))
    return sorted(set(_recorded(results, directory, folder)))


def _recorded(results: Path, directory: Path, folder: str) -> Iterator[Path]:
    # Only \n ends a line: names may hold what str.splitlines takes for an end.
    for text in results.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        if not isinstance(line, dict) or line.get("status") != "ok":
            continue
        for file in line.get("files", ()):
            if Path(file).parent == Path(folder):
                yield directory / file
