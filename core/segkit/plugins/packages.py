"""The installed distributions that have plugins, as their metadata describes them.

This module imports neither numpy nor pydantic, so that listing plugins is quick.
"""

from __future__ import annotations

import contextlib
import errno
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from segkit.errors import UsageError
from segkit.kinds import API_GROUP, BUNDLED
from segkit.plugins import hookspecs
from segkit.values.reading import check_file, parsed_json, read_text

if TYPE_CHECKING:
    from importlib_metadata import Distribution, EntryPoint

LARGEST = 16 << 20
"""So many bytes of a file of metadata are read."""

_INFO = (".dist-info", ".egg-info")
"""How the names of the folders end in which Python keeps metadata."""

_API = re.compile(r"v([1-9][0-9]*)")
_FIELD = re.compile(r"^(Name|Version):[ \t]*(\S+)[ \t]*$", re.MULTILINE)


@dataclass(frozen=True)
class Package:
    """An installed distribution, as its metadata describes it."""

    name: str
    version: str
    api: str | None
    """What it was written for, as `v1`; None: it does not say."""
    metadata: Distribution = field(compare=False, repr=False)

    @classmethod
    def of(cls, metadata: Distribution, api: str | None) -> Package | None:
        """What the metadata says; None if it is too damaged to name the distribution."""
        try:
            # The library parses the whole text, long description and all, for each of the two.
            head = _read(metadata, "METADATA").partition("\n\n")[0]
            fields = dict(reversed(_FIELD.findall(head)))
            name = fields.get("Name") or metadata.name
            version = fields.get("Version") or metadata.version
        except Exception:  # many kinds
            return None
        return cls(name, version, api, metadata) if name and version else None

    @property
    def where(self) -> str:
        """Where it came from: a folder, a wheel or a repository; else where it is installed."""
        try:
            origin = parsed_json(_read(self.metadata, "direct_url.json") or "{}")
            place = str(origin["url"])
            if "vcs_info" in origin:
                return f"{origin['vcs_info']['vcs']}+{place}@{origin['vcs_info']['commit_id']}"
            if place.startswith("file:"):
                place = _path_of(place)
            return f"{place} (editable)" if origin.get("dir_info", {}).get("editable") else place
        except (KeyError, ValueError, TypeError, AttributeError, OSError):
            return str(self.metadata.locate_file(""))

    def refusal(self) -> str | None:
        """Why its plugins cannot work with this segkit, as the end of a sentence, if so."""
        if self.api is None:
            return None
        newest, oldest = hookspecs.API_VERSION, hookspecs.OLDEST_API
        match = _API.fullmatch(self.api)
        if match is None:
            return (
                f"says that it was written for '{self.api}' of segkit's plugin API; the name of "
                f"its entry point in the group {API_GROUP} should be v{newest}"
            )
        asked = int(match.group(1))
        if oldest <= asked <= newest:
            return None
        here = f"version {newest}" if oldest == newest else f"versions {oldest} to {newest}"
        advice = (
            f"upgrade segkit, or install an older {self.name}"
            if asked > newest
            else f"install a newer {self.name}, or an older segkit"
        )
        return (
            f"was written for version {asked} of segkit's plugin API, but this segkit "
            f"({_version_here()}) has {here}; {advice}"
        )


def installed() -> Iterable[tuple[Package, list[EntryPoint]]]:
    """Those with plugins, and their entry points; one with damaged metadata hides no other.

    The text of entry_points.txt is looked at first: the library's own `entry_points` parses the
    metadata of all that is installed.
    """
    from importlib_metadata import Distribution

    seen = set()
    for distribution in Distribution.discover():
        with contextlib.suppress(Exception):  # damage raises many kinds; nobody could be named
            if "[segkit." not in _read(distribution, "entry_points.txt"):
                continue
            points = list(distribution.entry_points)
            api = next((point.name for point in points if point.group == API_GROUP), None)
            package = Package.of(distribution, api)
            if package is None or normalised(package.name) in seen:
                continue
            # Of two with one name, Python imports the modules of the one that comes first.
            first = next(iter(Distribution.discover(name=package.name)))
            if first.locate_file("") == distribution.locate_file(""):
                seen.add(normalised(package.name))
                yield package, points


def check_entry_points() -> None:
    """Raise `UsageError` for an installed distribution whose entry points are no ordinary file.

    Pydantic reads those of all when it is imported, and would wait for a pipe without end. A glance
    at each, without a library, takes milliseconds.
    """
    for folder in dict.fromkeys(sys.path):
        with contextlib.suppress(OSError):  # no folder: an archive, or nothing
            for info in (p for p in Path(folder).iterdir() if p.suffix in _INFO):
                try:
                    check_file(info / "entry_points.txt")
                except OSError as error:
                    if error.errno == errno.EINVAL:
                        raise unreadable(str(info), str(error.strerror)) from None


def unreadable(where: str, why: str) -> UsageError:
    """What is said of a distribution whose entry points libraries cannot read."""
    return UsageError(
        f"the entry points of the package in {where} cannot be read ({why}), and a library that "
        "segkit uses needs them; install it again, or remove it"
    )


def damaged() -> tuple[str, str] | None:
    """An installed distribution whose entry points cannot be read, and why; None: all can.

    What segkit uses, such as pydantic, reads those of all and fails at such a one.
    """
    from importlib_metadata import Distribution

    for distribution in Distribution.discover():
        try:
            _read(distribution, "entry_points.txt")
            list(distribution.entry_points)
        except Exception as error:  # many kinds
            where = str(getattr(distribution, "_path", distribution.locate_file("")))
            unreadable = isinstance(error, OSError) and error.strerror
            return where, str(unreadable or "it is damaged")
    return None


def _read(distribution: Distribution, name: str) -> str:
    """A file of a distribution's metadata; empty where there is none. Raises many kinds."""
    folder = getattr(distribution, "_path", None)
    if isinstance(folder, Path):  # else it lies in an archive
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return read_text(folder / name, most=LARGEST)
        return ""
    return distribution.read_text(name) or ""


def same_distribution(name: str, other: str) -> bool:
    """Whether two names mean the same distribution."""
    return normalised(name) == normalised(other)


def normalised(distribution: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _path_of(url: str) -> str:
    """The path that a `file:` address means."""
    from urllib.parse import unquote

    path = unquote(url.removeprefix("file:").removeprefix("//"))
    return path[1:] if re.match(r"/[A-Za-z]:", path) else path  # file:///C:/folder


def _version_here() -> str:
    from importlib.metadata import version

    return version(BUNDLED)
