"""Class ids that hold for a whole run and do not depend on the order of its images.

The classes of the data set (or those asked for) come first. While a run goes on, others get ids as
they come, so that what is there can be read. Once all images are done they are numbered anew: those
that a class map numbers keep that number where it is free, the others follow by name. What the
files of an image with such classes say stands by name in a part of its own, from which they are
written again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segkit import add_class
from segkit_plugins.writer._files import finished_files, write_json


class ClassIds:
    """The class ids of a writer's files, kept in its folder's `classes.json`: {id: name}.

    Those of the data set come first. A name that it lacks gets the id that the class map has for
    it if that is free, else the next free one, and keeps it until the run's end.
    """

    def __init__(self, folder: Path, classes: Mapping[int, str] | None = None) -> None:
        """Read what earlier images left; a damaged file is as good as none, and written anew."""
        self.path = folder / "classes.json"
        self.known = dict(sorted((classes or {}).items()))
        self.names = dict(self.known)
        self.others: dict[str, int | None] = {}
        """The names asked for that the data set lacks, with the ids that class maps have."""
        for i, name in (_stored(self.path) or {}).items():
            if i not in self.names and name not in self.names.values():
                self.names[i] = name

    def id(self, name: str, wanted: int | None = None) -> int:
        """The id of a class name, kept on the disk if it is new."""
        if name not in self.known.values():
            self.others.setdefault(name, wanted)
        known = name in self.names.values()
        if not known and wanted is not None and wanted not in self.names:
            self.names[wanted] = name
        return add_class(name, self.names)

    def place(self, name: str) -> int:
        """The place of a class name among all, from 0: the data set's by id, then the others."""
        self.id(name)
        return list(self.names.values()).index(name)

    @property
    def files(self) -> tuple[Path, ...]:
        """The file, if there is one."""
        return (self.path,) if self.path.exists() else ()

    @property
    def part(self) -> dict[str, Any]:
        """What an image's part has to say of its classes."""
        return {"known": self.known, "others": self.others}

    def save(self) -> None:
        """Write the file, if it does not say the same already."""
        if _stored(self.path) != self.names:
            write_json(self.path, self.names)

    def settle(self, parts: Mapping[Path, Mapping[str, Any]]) -> None:
        """Number the classes of all parts, and write the file."""
        known: dict[int, str] = {}
        others: dict[str, int | None] = {}
        for part in parts.values():
            known |= {int(i): str(name) for i, name in part["known"].items()}
            for name, wanted in part["others"].items():
                others[name] = wanted if others.get(name) is None else others[name]
        self.known = dict(sorted(known.items()))
        names = dict(self.known)
        free = {n: w for n, w in sorted(others.items()) if n not in names.values()}
        for name, wanted in free.items():
            if wanted is not None and wanted not in names:
                names[wanted] = name
        for name in free:
            add_class(name, names)
        new = sorted((i, name) for i, name in names.items() if i not in self.known)
        self.names = {**self.known, **dict(new)}
        self.save()


def _stored(path: Path) -> dict[int, str] | None:
    """The class names by id that a file holds; None where it is not there or damaged."""
    try:
        return {int(i): str(name) for i, name in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, AttributeError, RecursionError):
        return None


def knows_classes(folder: Path) -> bool:
    """Whether a format's class ids are known without any image being done again.

    They stand in `classes.json`, and in each part, from which the file is made again.
    """
    return _stored(folder / "classes.json") is not None or any(
        is_part(path) for path in (folder / "parts").rglob("*.json")
    )


def is_part(path: Path) -> bool:
    """Whether a part can be read, and says of classes what a part has to."""
    try:
        part = json.loads(path.read_bytes())
        known = {int(i): str(name) for i, name in part["known"].items()}
        others: dict[str, int | None] = part["others"]
        ids = [*known, *(wanted for wanted in others.values() if wanted is not None)]
        return all(isinstance(i, int) for i in ids)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False


def parts_in(directory: Path, folder: str, images: Sequence[str]) -> dict[Path, dict[str, Any]]:
    """The parts of these images in a folder of the run, by their files, sorted by name."""
    files = finished_files(directory, folder, ".json", images, spread=True)
    parts = {path: json.loads(path.read_bytes()) for path in files}
    # Those of an earlier version say nothing of classes, and their files stay as they are.
    return {path: part for path, part in parts.items() if "known" in part}
