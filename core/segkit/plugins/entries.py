"""Plugins as metadata names them: entries, and what is wrong with their names.

Nothing is imported for it. This module imports neither numpy nor pydantic, so that listing plugins
is quick.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from segkit.errors import did_you_mean
from segkit.kinds import BUNDLED, COMMAND, GROUPS, KINDS, OBSERVER, flag_of
from segkit.plugins.packages import Package

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
"""Names of plugins: lower-case words, digits and hyphens."""

_DOCSTRING = re.compile(r"""\A(?:\s|\#[^\n]*\n)*[rR]?(\"{3}|'{3}|"|')\s*([^\n]*?)\s*(?:\1|\n)""")


@dataclass(frozen=True)
class Entry:
    """One plugin as the metadata of its distribution names it; nothing of it is imported."""

    kind: str
    name: str
    distribution: str
    version: str
    target: str
    """What to import: the module's dotted name, or the path of a single file."""
    status: str = "found"
    """`found`; `clash`: another distribution has the same name; `shadowed`: a bundled plugin has
    it, or a file that `--plugin` names; `bad name`; `bad group`: its kind is none; `unsupported`:
    written for a plugin API that this segkit does not have. After a check: `ok` or `broken`."""
    error: str | None = None
    """Why it is not `found` or `ok`, as a sentence."""
    seconds: float | None = None
    """After a check: how long its import took. A library that several plugins import counts for
    the first of them."""
    package: Package | None = field(default=None, compare=False, repr=False)
    """The distribution it belongs to; None for a single file."""

    @property
    def full_name(self) -> str:
        """`distribution:name`, which always means this one."""
        return f"{self.distribution}:{self.name}"

    @property
    def described(self) -> str:
        """Which plugin it is, as sentences begin."""
        return f"'{self.name}' from {self.source}"

    @property
    def source(self) -> str:
        """The distribution and its version, or the single file."""
        single = self.target.endswith(".py")
        return self.target if single else f"{self.distribution} {self.version}"

    @property
    def where(self) -> str:
        """Where its distribution came from (see `Package.where`), or the single file's path."""
        return str(Path(self.target).absolute()) if self.package is None else self.package.where

    @property
    def summary(self) -> str:
        """The first line of the module's docstring, read from its file without running it."""
        path = self._file()
        if path is None:
            return ""
        try:
            text = path.read_text(encoding="utf-8-sig", errors="replace")
            match = _DOCSTRING.match(text[:2000])
        except OSError:
            return ""
        return match.group(2) if match else ""

    def _file(self) -> Path | None:
        if self.target.endswith(".py"):
            return Path(self.target)
        from importlib.util import find_spec

        top, *below = self.target.partition(":")[0].split(".")
        try:
            # A name without a dot: found, also in editable installs, without importing anything.
            spec = find_spec(top)
        except (ImportError, ValueError):
            return None
        if spec is None:
            return None
        if not below:
            return Path(spec.origin) if spec.origin else None
        for folder in spec.submodule_search_locations or ():
            path = Path(folder, *below)
            for file in (path.with_name(f"{path.name}.py"), path / "__init__.py"):
                if file.is_file():
                    return file
        return None


def plugin_record(entry: Entry) -> Mapping[str, str | float | None]:
    """What `list-plugins --json` says of a plugin."""
    return {
        "kind": entry.kind,
        "name": entry.name,
        "distribution": entry.distribution,
        "version": entry.version,
        "api": entry.package.api if entry.package else None,
        "where": entry.where,
        "status": entry.status,
        "error": entry.error,
        "seconds": entry.seconds,
        "summary": entry.summary,
    }


def marked(entries: Iterable[Entry]) -> list[Entry]:
    """The entries in order, with bad names and clashes marked."""
    order = {kind: i for i, kind in enumerate((*KINDS, OBSERVER, COMMAND))}
    last = len(order)
    entries = sorted(
        entries, key=lambda e: (order.get(e.kind, last), e.kind, e.name, e.distribution)
    )
    owners: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        owners.setdefault((entry.kind, entry.name), []).append(entry)
    return [_mark(e, [o for o in owners[e.kind, e.name] if o.source != e.source]) for e in entries]


def _mark(entry: Entry, others: list[Entry]) -> Entry:
    """The entry, marked; `others` have the same kind and name, but come from elsewhere."""
    if f"segkit.{entry.kind}" not in GROUPS:
        return replace(entry, status="bad group", error=_astray(entry))
    if not NAME.fullmatch(entry.name):
        return replace(
            entry,
            status="bad name",
            error=f"{entry.described} has a bad name; "
            "plugin names are lower-case words, digits and hyphens",
        )
    refusal = entry.package and entry.package.refusal()
    if refusal:
        return replace(entry, status="unsupported", error=f"{entry.described} {refusal}")
    if entry.kind == OBSERVER:
        return entry
    files = [e for e in others if e.package is None]
    if files and entry.package is not None:
        alike = any(e.distribution == entry.distribution for e in files)
        advice = "rename the file" if alike else f"use {entry.full_name}"
        return replace(
            entry,
            status="shadowed",
            error=f"{files[0].target}, named by --plugin, has the name '{entry.name}'; {advice}",
        )
    others = files if entry.package is None else others
    if not others or entry.distribution == BUNDLED:
        return entry
    if any(e.distribution == BUNDLED for e in others):
        return replace(
            entry,
            status="shadowed",
            error=f"segkit's own plugin has the name '{entry.name}'; use {entry.full_name}",
        )
    return replace(
        entry,
        status="clash",
        error=f"{', '.join(e.distribution for e in others)} has a plugin of the same name; "
        f"use {entry.full_name}",
    )


def _astray(entry: Entry) -> str:
    """The sentence for an entry point in a group that there is not."""
    refusal = entry.package and entry.package.refusal()  # a newer segkit may have the kind
    if refusal:
        return f"{entry.described} {refusal}"
    known = {group.removeprefix("segkit."): group for group in GROUPS}
    known |= {flag_of(kind.name): kind.group for kind in KINDS.values()}
    hint = did_you_mean(entry.kind.lower(), known, f"there is {', '.join(GROUPS[:-1])}")
    return f"group 'segkit.{entry.kind}' of {entry.source} is no kind; {hint}"
