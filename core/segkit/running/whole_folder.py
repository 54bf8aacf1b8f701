"""A folder made beside its place under a hidden name: it is there as a whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from segkit.errors import SegkitError, UsageError
from segkit.running.ledger import LEDGER, LOCK, is_empty, is_run
from segkit.running.lock import check_unowned, owned
from segkit.running.owned import OWN, Left, files_in, left_in, remove_run
from segkit.values.files import SCRAP, sync_files


@contextmanager
def made_beside(
    directory: Path, sources: Sequence[Path], *, overwrite: bool = False
) -> Iterator[Path]:
    """A hidden folder beside `directory`, which is moved there if all goes well, and removed else.

    What an earlier merge has left there when it was killed goes first. Raises `UsageError` where
    `directory` is not free: with `overwrite` it may hold a run, and nothing but that run.
    """
    _check_target(directory, sources, overwrite=overwrite)
    scratch = directory.absolute().parent / f".{directory.absolute().name}.merging"
    with owned(scratch):
        if not is_empty(scratch) and not is_run(scratch):
            raise UsageError(
                f"'{scratch}' holds files that no merge has left; move them, or choose another "
                "folder"
            )
        _clear(scratch)
        try:
            yield scratch
        except BaseException:
            _clear(scratch)
            raise
    try:
        if directory.exists():
            with owned(directory):  # by nobody else, who may have begun a run there meanwhile
                _check_target(directory, sources, overwrite=overwrite)
                remove_run(directory)
        with suppress(FileNotFoundError):
            directory.rmdir()
        scratch.rename(directory)
        sync_files([], [directory.absolute().parent])
    except (OSError, UsageError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SegkitError(
            f"the merged run in '{scratch}' could not be moved to {directory} ({reason}); move it "
            "yourself, or merge again"
        ) from None


def _check_target(directory: Path, sources: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse, with `UsageError`, a folder that is not free."""
    try:
        real = Path(os.path.realpath(directory))
        for source in sources:
            if Path(os.path.realpath(source)) in (real, *real.parents):
                raise UsageError(
                    f"-o {directory} lies in '{source}', which is to be merged; choose another "
                    "folder"
                )
        if not directory.exists():
            return
        if not directory.is_dir():
            raise UsageError(f"-o {directory} is a file; choose a folder")
        if is_empty(directory):
            return
        if not (overwrite and is_run(directory)):
            asked = "holds no run of segkit" if overwrite else "is not empty; add --overwrite"
            raise UsageError(f"-o {directory} {asked}, or choose another folder")
        check_unowned(directory)
        several = left_in(directory)
        below = [(left, left.directory.relative_to(directory).as_posix()) for left in several]
        places = {left.directory / name for left in several for name in ("", *left.places)}
        others = [
            name
            for name in files_in(directory)
            if not any(_is_of(left, name, place) for left, place in below)
            and not (SCRAP.fullmatch(Path(name).name) and (directory / name).parent in places)
        ]
        if others:
            raise UsageError(
                f"-o {directory} holds {min(others)}, which is no file of that run; move it, or "
                "choose another folder"
            )
    except OSError as error:
        raise UsageError(
            f"-o {directory} cannot be read: {error.strerror}; choose another folder"
        ) from None


def _is_of(left: Left, name: str, place: str) -> bool:
    """Whether a file is one of a run in the folder `place`."""
    own = name if place == "." else name.removeprefix(f"{place}/")
    inside = place == "." or own != name
    return inside and (own in left.files or own in (*OWN, LEDGER, LOCK))


def _clear(scratch: Path) -> None:
    """Remove all but the lock; what the folder is known by goes last."""
    for path in scratch.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name not in (LOCK, LEDGER):
            path.unlink()
    (scratch / LEDGER).unlink(missing_ok=True)
