"""One run, one owner: while a process writes into a run's folder, no other does.

`segkit-run.lock` in the folder names the owner: its host, its process and when that began, for a
number is given again to other processes. One whose process is gone has been left by a crash, and is
taken over. Whether a process of another host is still there cannot be seen from here: that lock
stands until its owner or the user removes it.
"""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from segkit.errors import UsageError, shortened
from segkit.running.ledger import LOCK, is_empty, is_run

_INSIDE = ("recipes/*", "seeds/*", "seeds/*/recipes/*")
"""Where in a folder of several runs others may own one of them."""

_held: dict[str, tuple[int, int, int]] = {}
"""Real path of each folder that this process owns: its process, thread, and how many times."""

_own = threading.Lock()

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/", re.IGNORECASE)
"""What an address begins with; a path has made one slash of its two."""


@dataclass(frozen=True)
class Owner:
    """Who owns a folder."""

    host: str
    pid: int
    started: str
    """When the process began, in words that only this machine compares; empty: not known."""
    since: str = ""
    """When it took the folder, for people."""

    @classmethod
    def me(cls) -> Owner:
        """The process at hand."""
        pid = os.getpid()
        return cls(socket.gethostname(), pid, started(pid), time.strftime("%Y-%m-%d %H:%M:%S"))

    @classmethod
    def parse(cls, text: str) -> Owner | None:
        """That which a lock names; None where a crash has cut it off."""
        try:
            said = json.loads(text)
            owner = cls(**{key: said[key] for key in ("host", "pid", "started", "since")})
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        texts = (owner.host, owner.started, owner.since)
        fits = isinstance(owner.pid, int) and all(isinstance(text, str) for text in texts)
        return owner if fits and owner.pid > 0 else None

    @property
    def gone(self) -> bool:
        """Whether its process is known to be no more."""
        return self.host == socket.gethostname() and started(self.pid) != self.started


def started(pid: int) -> str:
    """When a process began; the same text as long as it lives, another for its successor.

    Empty where there is no such process. On Linux it is the machine's start and the clock's ticks
    since then, elsewhere what `ps` says.
    """
    if Path("/proc/self/stat").exists():
        try:
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
            text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        # The name, in brackets, may hold spaces and brackets of its own.
        fields = text.rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else f"{boot} {fields[19]}"  # a zombie has ended
    if os.name == "nt":
        return "unknown"  # so that no owner is taken for gone
    asked = ["ps", "-o", "lstart=", "-p", str(pid)]
    words = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}  # the same for whoever asks
    done = subprocess.run(asked, env=words, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def check_on_disk(directory: Path) -> None:
    """Refuse, with `UsageError`, an address such as s3://bucket/run in place of a folder.

    An object store can neither append a line nor keep a lock, so a run there could lose images.
    """
    match = _ADDRESS.match(str(directory))
    if match is not None:
        address = f"{match[1]}://{str(directory)[match.end() :].lstrip('/')}"
        raise UsageError(
            f"{shortened(address)} is an address, and a run's folder has to be on a disk, where "
            "lines are appended and the folder is locked; give a folder, and copy it there and "
            "back by the store's own tool, such as aws s3 sync"
        )


@contextmanager
def owned(directory: Path) -> Iterator[None]:
    """Own a run's folder, which is made if it is not there, for as long as this is open.

    Who owns it may own it again. A folder of other files is left alone: nobody writes there. One
    that has been made for this and is still empty goes again.

    Raises `UsageError` where another process, or another thread, owns it, or it cannot be written,
    and for an address.
    """
    check_on_disk(directory)
    key, me = os.path.realpath(directory), (os.getpid(), threading.get_ident())
    with _own:
        pid, thread, times = _held.get(key, (*me, 0))
        if times and pid == me[0] and thread != me[1]:
            raise UsageError(_busy(directory, directory / LOCK, Owner.me()))
        times = times if pid == me[0] else 0  # of the process that this one was forked from
        made = [] if times else _taken(directory)
        if made is not None:
            _held[key] = (*me, times + 1)
    try:
        yield
    finally:
        if made is not None:
            with _own:
                _held[key] = (*me, times)
                if not times:
                    del _held[key]
                    _leave(directory, made)


def check_unowned(directory: Path) -> None:
    """Raise `UsageError` if another process, or another thread, owns a run's folder.

    Nothing is written for it.
    """
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        text = (directory / LOCK).read_text(encoding="utf-8", errors="replace")
        _refuse(directory, directory / LOCK, Owner.parse(text))


def _taken(directory: Path) -> list[Path] | None:
    """Take a folder; the folders that were made for it, or None where it is not a run's."""
    try:
        made = [path for path in (directory, *directory.parents) if not path.exists()]
        if not made and not is_empty(directory) and not is_run(directory):
            return None
        _check_around(directory)
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / LOCK
        while True:
            with _opened(path) as file, _alone(file):
                if not _is_at(file, path):
                    continue  # its owner has just removed it
                _refuse(directory, path, Owner.parse(file.read()))
                file.seek(0)
                file.truncate()
                try:
                    file.write(json.dumps(asdict(Owner.me())) + "\n")
                    file.flush()
                except OSError:
                    path.unlink(missing_ok=True)
                    raise
            return made
    except NotADirectoryError:
        return None  # a file: said by whoever wants to write there
    except OSError as error:
        mend = "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "mend that"
        raise UsageError(
            f"the folder {shortened(directory)} cannot be written: {error.strerror or error}; "
            f"{mend}, or choose another folder"
        ) from None


def _check_around(directory: Path) -> None:
    """Raise `UsageError` if the sweep that a folder is of, or a run in it, has another owner."""
    inside = (place for pattern in _INSIDE for place in directory.glob(pattern))
    for place in (directory.absolute().parent.parent, *inside):
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            text = (place / LOCK).read_text(encoding="utf-8", errors="replace")
            _refuse(directory, place / LOCK, Owner.parse(text))


def _refuse(directory: Path, path: Path, owner: Owner | None) -> None:
    """Raise `UsageError` if a lock's owner is still there and not this very thread."""
    if owner is None or owner.gone:
        return
    held = _held.get(os.path.realpath(path.parent))
    if held is None or held[:2] != (os.getpid(), threading.get_ident()):
        raise UsageError(_busy(directory, path, owner))


def _leave(directory: Path, made: list[Path]) -> None:
    path, me = directory / LOCK, Owner.me()
    with suppress(OSError):
        owner = Owner.parse(path.read_text(encoding="utf-8", errors="replace"))
        # Another's, if somebody has removed ours meanwhile, stays.
        if owner is not None and (owner.host, owner.pid) == (me.host, me.pid):
            path.unlink()
    with suppress(OSError):  # there is something in it
        for path in made:
            path.rmdir()


def _opened(path: Path) -> IO[str]:
    """A lock's file, made if it is not there; a link is not followed. Raises `OSError`."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    number = os.open(path, flags, 0o644)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(errno.EINVAL, f"{path.name} in it is no file")
    return os.fdopen(number, "r+", encoding="utf-8", errors="replace")


@contextmanager
def _alone(file: IO[str]) -> Iterator[None]:
    """Nobody else on this machine looks at the lock meanwhile, where the system can do that."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with suppress(OSError):  # some network disks cannot
        fcntl.flock(file, fcntl.LOCK_EX)
    yield  # let go when the file is closed


def _is_at(file: IO[str], path: Path) -> bool:
    """Whether an open file is the one that has this name."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    mine = os.fstat(file.fileno())
    return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)


def _busy(directory: Path, path: Path, owner: Owner) -> str:
    """What to say where a folder has an owner; `path`: the lock."""
    where = f"the folder {directory} is in use by process {owner.pid}"
    since = f" since {owner.since}" * bool(owner.since)
    if owner.host == socket.gethostname():
        return f"{where}{since}; wait until it has ended, or choose another folder"
    return (
        f"{where} on the machine {owner.host!r}{since}, and this machine cannot see whether that "
        f"still runs; wait for it, or, if it has ended, remove {path}"
    )
