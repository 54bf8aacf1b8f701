"""Tar archives as rows of members: listed by their headers alone, read one at a time."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, NamedTuple

BLOCK = tarfile.BLOCKSIZE

_FILES = b"0\x00"
"""The types of header that are plain files; tarfile reads all others."""


DAMAGES = (EOFError, zlib.error, gzip.BadGzipFile)
"""What gzip raises where a packed archive is cut off or damaged."""


class CutOffError(Exception):
    """An archive ends before it should or is damaged; what came before it is sound."""


class Member(NamedTuple):
    """A file in an archive."""

    name: str
    start: int
    """Where its content begins, in bytes of the archive as it is unpacked."""
    size: int


def members(file: IO[bytes], size: int | None) -> Iterator[Member]:
    """The files in an archive, in order, their contents left out; `size`: its bytes, if known.

    Plain headers are read here, since `tarfile` takes 80 µs for one; it does all others. Raises
    `CutOffError` where the archive ends too soon or a header is damaged, after what is whole before
    it and a member whose content is cut off, and `tarfile.ReadError` where there is no archive.
    """
    slow: tarfile.TarFile | None = None
    place = 0
    while True:
        file.seek(place)
        header = file.read(BLOCK)
        if not header.strip(b"\0"):
            if len(header) < BLOCK and place:
                raise CutOffError("it has no end mark")
            if not header:
                raise tarfile.ReadError("it is empty")
            return
        if len(header) < BLOCK:
            raise CutOffError("a header is cut off") if place else tarfile.ReadError("no header")
        member = _plain(header, place)
        if member is not None:
            following = member.start + -(-member.size // BLOCK) * BLOCK
        else:
            slow = slow or _tarfile(file)
            info = _special(slow, file, place)
            # The archive's end, of zeros, does not come this far.
            if info is None or info.size < 0 or slow.offset <= place:
                raise _damaged(place)
            following = slow.offset
            if not info.isreg():
                place = following
                continue
            member = Member(info.name, info.offset_data, info.size)
        yield member
        if size is not None and member.start + member.size > size:
            raise CutOffError(f"{member.name} is cut off")
        place = following


def _tarfile(file: IO[bytes]) -> tarfile.TarFile:
    file.seek(0)
    return tarfile.open(fileobj=file, mode="r:")


def _damaged(place: int) -> Exception:
    said = f"its header at byte {place} is damaged"
    return CutOffError(said) if place else tarfile.ReadError(said)


def _special(slow: tarfile.TarFile, file: IO[bytes], place: int) -> tarfile.TarInfo | None:
    """What `tarfile` makes of the header here; None if nothing."""
    file.seek(place)
    slow.offset, slow.firstmember = place, None  # type: ignore[attr-defined]
    try:
        return slow.next()
    except tarfile.TarError as error:
        raise (CutOffError(str(error)) if place else tarfile.ReadError(str(error))) from None
    finally:
        slow.members.clear()  # type: ignore[attr-defined]


def _plain(header: bytes, place: int) -> Member | None:
    """The file that a header of the usual kind announces; None for all other headers."""
    length, checksum = header[124:136], header[148:156]
    if header[156:157] not in _FILES or length[:1] >= b"\x80" or header[257:262] != b"ustar":
        return None
    try:
        said = int(checksum.strip(b" \0"), 8)
        size = int(length.strip(b" \0") or b"0", 8)
    except ValueError:
        return None
    if size < 0 or said != sum(header) - sum(checksum) + 8 * 32:
        return None
    name = header[:100].partition(b"\0")[0]
    if header[263:265] == b"00" and (prefix := header[345:500].partition(b"\0")[0]):
        name = prefix + b"/" + name
    return Member(name.decode("utf-8", "surrogateescape"), place + BLOCK, size)


class Reader:
    """Reads members of several archives; of them one is open, the one that was read last.

    Whoever reads in order reads each archive once, packed ones (.tar.gz) too.
    """

    def __init__(self, opener: Callable[[int], IO[bytes]]) -> None:
        """`opener`: opens the archive of this number, unpacked."""
        self._opener = opener
        self._open: tuple[int, IO[bytes]] | None = None

    def read(self, archive: int, start: int, size: int) -> bytes:
        """What a member holds.

        Raises `CutOffError` where the archive ends before it or is damaged, `OSError`.
        """
        if self._open is None or self._open[0] != archive:
            self.close()
            self._open = archive, self._opener(archive)
        file = self._open[1]
        try:
            file.seek(start)
            content = file.read(size)
        except DAMAGES as error:
            raise CutOffError(str(error)) from None
        if len(content) < size:
            raise CutOffError(f"it has {len(content)} of {size} bytes")
        return content

    def close(self) -> None:
        """Close the archive that is open."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def __del__(self) -> None:
        self.close()
