"""Files at addresses such as s3://bucket/photo.jpg, by fsspec; needs the extra `remote`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import IO, Any, TypeVar, cast

from segkit import BadImageError, MissingExtraError, UsageError
from segkit_plugins.dataset._decoding import SUFFIXES
from segkit_plugins.shared.reading import check_file
from segkit_plugins.shared.sentences import first_line

WAITS = (0.5, 1.0, 2.0)
"""Seconds between tries; one more try than these."""

LARGEST = 1 << 30
"""Bytes of an image's file, at most."""

PACKED = ("zip", "tar", "gzip", "bz2", "lz4", "xz", "zstd")
"""The kinds of archives that an address may lead into, as fsspec calls them."""

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)

_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, ValueError)
"""What another try does not mend."""

T = TypeVar("T")


def is_address(text: str) -> bool:
    """Whether a text names something that fsspec has to fetch; `file://` does not."""
    match = _ADDRESS.match(text)
    return match is not None and match[1].lower() not in ("file", "local")


def as_path(text: str) -> str:
    """The path that `file://` names; all else as it is."""
    match = _ADDRESS.match(text)
    return text[match.end() :] if match and not is_address(text) else text


def stem_of(address: str) -> PurePosixPath:
    """An address as a path, for its name and suffix alone."""
    return PurePosixPath(_ADDRESS.sub("", address).partition("::")[0].partition("?")[0])


def find_addresses(address: str, suffixes: frozenset[str] = SUFFIXES) -> list[str]:
    """The addresses that one means: itself, the files of a folder, or the matches of a pattern.

    One with a suffix of these is a file, and not asked for. Raises `UsageError` where there are
    none or the other side does not answer, `MissingExtraError` without fsspec.
    """
    _check_links(address)
    magic = any(letter in address.partition("://")[2] for letter in "*[")
    if not magic and stem_of(address).suffix.lower() in suffixes:
        return [address]
    system, path = _system(address)
    try:
        if magic:
            paths = again(lambda: system.glob(path))
        elif again(lambda: system.isdir(path)):
            rows = again(lambda: system.ls(path, detail=True))
            paths = [row["name"] for row in rows if row.get("type") != "directory"]
        else:
            return [address]
    except Exception as error:  # each kind of store raises its own
        raise UsageError(
            f"'{address}' cannot be looked into ({first_line(error)}); check the address, the "
            "network and your rights"
        ) from error
    fits = [str(p) for p in paths if PurePosixPath(str(p)).suffix.lower() in suffixes]
    if not fits:
        raise UsageError(
            f"'{address}' holds no file with a suffix such as {min(suffixes)}; name others"
        )
    # Protocol and host, which paths in a store lack.
    first, *rest = address.split("::")
    tail, asked = path.lstrip("/"), first.rstrip("/")
    head = asked.removesuffix(tail) if asked.endswith(tail) else system.unstrip_protocol("")
    return sorted("::".join((head + p.lstrip("/"), *rest)) for p in fits)


def fetch(address: str) -> bytes:
    """What is at an address. Raises `BadImageError` where it is not there, or after some tries."""
    try:
        system, path = _system(address)
        content = again(lambda: _content(system, path))
    except FileNotFoundError:
        raise BadImageError(f"'{address}' does not exist; check the name") from None
    except PermissionError:
        raise BadImageError(f"'{address}' may not be read; check your rights to it") from None
    except (UsageError, MissingExtraError):
        raise
    except Exception as error:  # each kind of store raises its own
        raise BadImageError(
            f"'{address}' cannot be read after {len(WAITS) + 1} tries ({first_line(error)}); go on "
            "with --resume when the other side answers again"
        ) from error
    if len(content) > LARGEST:
        raise BadImageError(f"'{address}' has more than {LARGEST >> 20} MiB; leave it out")
    return content


def _content(system: Any, path: str) -> bytes:
    """What is at a path; of an archive no more than `LARGEST` says, however much it unpacks to."""
    if system.protocol not in PACKED:
        return bytes(system.cat_file(path))
    with system.open(path, "rb") as file:
        return bytes(file.read(LARGEST + 1))


def open_address(address: str) -> IO[bytes]:
    """A file at an address that can be read from any place; each read is tried again.

    Raises `OSError`, or what its kind of store raises.
    """
    system, path = _system(address)
    return cast("IO[bytes]", _Patient(again(lambda: system.open(path, "rb"))))


def stamp_of(address: str) -> str:
    """What changes when the file at an address does. Raises as `open_address` does."""
    system, path = _system(address)
    return str(again(lambda: system.ukey(path)))


class _Patient:
    """A file that is read again, from the same place, where a read fails."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        place = self._file.tell()

        def read() -> bytes:
            self._file.seek(place)
            return bytes(self._file.read(size))

        return again(read)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _Patient:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def again(work: Callable[[], T]) -> T:
    """Do it, and after a while again where it fails for a reason that may pass."""
    for wait in WAITS:
        try:
            return work()
        except _FINAL:
            raise
        except Exception:  # each kind of store raises its own
            time.sleep(wait)
    return work()


def _check_links(address: str) -> None:
    """Refuse, with `UsageError`, what may not be read of `zip://photo.jpg::/folder/photos.zip`.

    Of an address that is reached by way of others all but the last should be archives: fsspec knows
    others too, such as tables of references, whose templates are programs. The last may be a pipe
    or a device of this machine, which would be read without end.
    """
    *ways, last = address.split("::")
    other = next((kind for way in ways if (kind := way.partition("://")[0]) not in PACKED), None)
    if other is not None:
        raise UsageError(
            f"'{address}' is reached by way of '{other}', and only archives are looked into "
            f"({', '.join(PACKED)}); name the files themselves"
        )
    if ways and not is_address(last):
        try:
            check_file(as_path(last))
        except OSError as error:
            raise UsageError(
                f"'{address}' cannot be read ({error.strerror or error}); check '{last}'"
            ) from None


def _system(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it."""
    _check_links(address)
    try:
        from fsspec.core import url_to_fs
    except ModuleNotFoundError:
        raise MissingExtraError(f"'{address}'", "fsspec", "remote") from None
    try:
        system, path = url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise UsageError(
            f"'{address}' is of a kind that cannot be read here ({first_line(error)}); install the "
            "library that it names, or check the address"
        ) from None
    return system, str(path)
