"""Safeguards: no run writes over what it reads, be it images, truth or files of the steps."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from segkit.errors import UsageError
from segkit.plugins.steps import Dataset, Step
from segkit.running.ledger import is_empty
from segkit.running.made_files import MadeFiles
from segkit.running.owned import Left
from segkit.running.sources import RunImages

SHARED = {"recipes", "examples"}
"""Folders in the folder of several recipes' runs."""


def keep_apart(
    directory: Path,
    images: RunImages,
    steps: Sequence[Step],
    left: Sequence[Left],
    *,
    resume: bool = False,
) -> None:
    """Refuse, before anything is touched, a run whose output could land on what it reads.

    That is an image or a truth directly in the run's folder, in one of the folders in it that
    writers write to (anywhere in it, where a writer's folder is not known yet), or reached from
    there by a link; a folder of a writer that is a link out of the run's; and a file of the run's
    own that a step reads. Where a run goes on, images that are its own files are left out instead:
    a pattern has found them.

    Raises `UsageError`.
    """
    try:
        if not directory.is_dir() or is_empty(directory):
            return
        folder = _Folder(directory, _written_to(directory, left, steps), images)
    except OSError as error:
        raise UsageError(
            f"-o {directory} cannot be read: {error.strerror}; choose another folder"
        ) from None
    made = [(_real(run.directory), run.files) for run in left]
    for step in steps:
        for flag, path in _named_by(step):
            if isinstance(step, Dataset) and folder.holds(path):
                _refuse(directory, f"{flag} {path} lies in that folder")
            if (
                isinstance(step, Dataset)
                and folder.is_itself(path)
                and not any(map(images.has_files, images.names))
            ):
                _refuse(directory, f"{flag} {path} is that folder")  # its files are not known
            if any(_touches(_real(path), *files) for files in made):
                _refuse(directory, f"{flag} {path} has files of the run in that folder")
    if folder.link is not None:
        link, path = folder.link
        _refuse(directory, f"{link} in that folder is a link to '{path}', which the run reads")
    for place in range(len(images.names)):
        for index, (path, is_link) in enumerate(images.files(place)):
            if folder.holds_file(path, link=is_link):
                if resume and index == 0 and any(_is_one(_real(path), *files) for files in made):
                    images.left_out.add(place)
                    break
                role = "the truth" if index else "the image"
                _refuse(directory, f"{role} {path} lies in that folder")
    if images.left_out - images.elsewhere and not len(images):
        _refuse(directory, f"all images are files of that run, such as {next(images.files(0))[0]}")
    if folder.leads_out is not None:
        link, path = folder.leads_out
        _refuse(directory, f"{link} is a link to '{path}', which the run does not own")


def _refuse(directory: Path, problem: str) -> NoReturn:
    raise UsageError(
        f"-o {directory}: {problem}, so the run could write over it; choose another folder"
    )


def _is_one(real: str, folder: str, files: MadeFiles) -> bool:
    """Whether a file is one of those that a run has made in a folder."""
    inside = real.startswith(folder + os.sep)
    return inside and real[len(folder) + 1 :].replace(os.sep, "/") in files


def _touches(real: str, folder: str, files: MadeFiles) -> bool:
    """The same, or whether a folder holds one of them, however deep."""
    holders = (os.path.join(folder, *below.split("/")).rstrip(os.sep) for below in files.folders)  # noqa: PTH118
    return _is_one(real, folder, files) or any(
        holder == real or holder.startswith(real + os.sep) for holder in holders
    )


def _written_to(directory: Path, left: Sequence[Left], steps: Iterable[Step]) -> list[Path] | None:
    """The folders in the run's folder that files are written to, or None if not all are known."""
    names = set(left[-1].folders) if left else set()
    if len(left) > 1:
        names |= SHARED
    for step in steps:
        if step.kind == "writer":
            source = vars(type(step)).get("came_from", "")
            if step.name not in names and source.partition(" ")[0] != "segkit":
                return None
            names.add(step.name)
    return [directory / name for name in sorted(names)]


def _named_by(step: Step) -> Iterator[tuple[str, Path]]:
    """The files and folders that a step's options name, each with its flag."""
    for option in type(step).model_fields:
        value = getattr(step, option)
        for path in value if isinstance(value, tuple) else (value,):
            if isinstance(path, Path) and path.exists():
                yield f"--{step.name}.{option.replace('_', '-')}", path


class _Folder:
    """The run's folder, however it is spelt, with what links in it lead to."""

    def __init__(
        self, directory: Path, written_to: Sequence[Path] | None, images: RunImages
    ) -> None:
        self._itself = _identity(directory)
        places = (directory,) if written_to is None else written_to
        self._whole = {_identity(path) for path in places} - {None}
        """Folders in which nothing may be read, however deep."""
        self._known: dict[tuple[str, bool], bool] = {}
        self.leads_out: tuple[Path, Path] | None = None
        """A folder that writers write to which is a link out of the run's, and where it leads."""
        for place in written_to or ():
            real = Path(_real(place))
            if place.is_symlink() and Path(_real(directory)) not in real.parents:
                self.leads_out = place, real
        self.link: tuple[Path, Path] | None = None
        """A link in them to a file that is read, and that file."""
        links: dict[tuple[int, int] | None, list[Path]] = {}
        for entry in (entry for place in places for entry in _entries(place)):
            symbolic = entry.is_symlink()
            if symbolic and entry.is_dir():
                self._whole.add(_identity(Path(entry.path)))
            elif symbolic or (images.linked and entry.is_file() and entry.stat().st_nlink > 1):
                links.setdefault(_identity(Path(entry.path)), []).append(Path(entry.path))
        links.pop(None, None)
        for index in range(len(images.names)) if links else ():
            for path, _ in images.files(index):
                for link in links.get(_identity(path), ()):
                    if _real(path.parent) != _real(link.parent):
                        self.link = link, path

    def holds(self, path: Path) -> bool:
        """Whether a file or a folder lies where the run may write, or leads there."""
        if path.is_dir():
            return self._inside(_real(path), deep=True)
        return self.holds_file(path, link=path.is_symlink())

    def holds_file(self, path: Path, *, link: bool) -> bool:
        """The same of a file; `link`: whether it is a symbolic one."""
        if link and self._inside(os.path.dirname(_real(path))):  # noqa: PTH120
            return True
        return self._inside(os.path.dirname(os.path.abspath(path)))  # noqa: PTH100, PTH120

    def is_itself(self, path: Path) -> bool:
        """Whether a path is the folder."""
        return _identity(path) == self._itself

    def _inside(self, place: str, *, deep: bool = False) -> bool:
        """Whether a folder is one where nothing may be read; unless `deep`, also the run's own."""
        key = place, deep
        if key not in self._known:
            real = Path(os.path.realpath(place))
            own = not deep and _identity(real) == self._itself
            self._known[key] = own or any(
                _identity(path) in self._whole for path in (real, *real.parents)
            )
        return self._known[key]


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """What lies in a folder, however deep; links to folders are not followed."""
    try:
        with os.scandir(folder) as scan:
            entries = list(scan)
    except OSError:  # there is none, or it may not be read: then nothing is written there either
        return
    for entry in entries:
        yield entry
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(Path(entry.path))


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and number, which are one for all spellings and links of a file or folder."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _real(path: Path) -> str:
    return os.path.realpath(path)
