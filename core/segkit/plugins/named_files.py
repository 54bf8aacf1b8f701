"""The files that steps name: those that they read, and those that they have written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from segkit.errors import PluginError
from segkit.plugins.contract import blamed, described, named
from segkit.plugins.steps import Dataset, Step
from segkit.values.checking import short_repr


def files_of(dataset: Dataset, index: int) -> tuple[Path, ...]:
    """The files that an image comes from. Raises `PluginError` for anything but paths."""
    with blamed(dataset, at="files_of"):
        files = dataset.files_of(index)
        if isinstance(files, (str, bytes)) or not isinstance(files, Iterable):
            raise PluginError(
                f"{named(dataset)} should list the files of an image, but made {described(files)}"
            )
        return _paths(dataset, files)


def weight_files_of(step: Step) -> dict[str, Path]:
    """A step's weight files by their names. Raises `PluginError` where it cannot say them."""
    with blamed(step, "could not name its weight files:", at="weight_files"):
        files = step.weight_files()
        if not isinstance(files, Mapping) or not all(isinstance(name, str) for name in files):
            raise PluginError(
                f"{named(step)} should make a dict of names to weight files, but made "
                f"{short_repr(files)}"
            )
        return dict(zip(files, _paths(step, files.values()), strict=True))


def written_by(
    writer: Step, returned: Iterable[Any], directory: Path, *, at: str
) -> tuple[str, ...]:
    """The files that a writer says it made, relative to the run's folder.

    `at`: its method, which has returned them. Raises `PluginError` for anything but paths of files
    that are there, inside of the folder.
    """
    with blamed(writer, at=at):
        root, names = os.path.abspath(directory), []  # noqa: PTH100 - keeps links
        for path in _paths(writer, returned):
            place = os.path.abspath(path)  # noqa: PTH100
            if not place.startswith(root + os.sep):
                raise PluginError(
                    f"{named(writer)} should write into the run's folder, but says that it wrote "
                    f"'{path}', which lies outside"
                )
            if not os.path.isfile(place):  # noqa: PTH113 - most of the time is pathlib's own
                raise PluginError(
                    f"{named(writer)} says that it wrote '{path}', but there is no such file"
                )
            names.append(place.removeprefix(root + os.sep).replace(os.sep, "/"))
        return tuple(names)


def _paths(step: Step, values: Iterable[Any]) -> tuple[Path, ...]:
    paths = []
    for value in values:
        if not isinstance(value, (str, os.PathLike)) or isinstance(os.fspath(value), bytes):
            raise PluginError(
                f"{named(step)} should name files by paths, but has {short_repr(value)}"
            )
        paths.append(Path(value))
    return tuple(paths)
