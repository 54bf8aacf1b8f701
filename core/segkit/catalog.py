"""Which plugins are installed, found by metadata alone; each is imported when it is used.

Nothing here is global: a `Catalog` is made in `main` (or in a notebook) and passed down. This
module imports neither numpy nor pydantic, so that listing plugins is quick.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit.errors import PluginError, UsageError
from segkit.hookspecs import REGISTRATION

if TYPE_CHECKING:
    from types import ModuleType

    from importlib_metadata import EntryPoint, EntryPoints

    from segkit.stages import Step

BUNDLED = "segkit"
"""The distribution whose plugins win a short name."""

OBSERVER = "observer"
"""The group of plugins that watch a run; they are no kind of step."""

FLAGS = {kind: kind for kind in REGISTRATION} | {
    "perturbation": "perturb",
    "selector": "select",
    "writer": "write",
}
"""Kind to its flag on the command line, without the dashes."""

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
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
    it; `bad name`. After a check: `ok` or `broken`."""
    error: str | None = None
    """Why it is not `found` or `ok`, as a sentence."""

    @property
    def full_name(self) -> str:
        """`distribution:name`, which always means this one."""
        return f"{self.distribution}:{self.name}"

    @property
    def described(self) -> str:
        """Which plugin it is, as sentences begin."""
        single = self.target.endswith(".py")
        return f"'{self.name}' from " + (
            self.target if single else f"{self.distribution} {self.version}"
        )

    @property
    def summary(self) -> str:
        """The first line of the module's docstring, read from its file without running it."""
        path = self._file()
        if path is None:
            return ""
        try:
            text = path.read_text(encoding="utf-8-sig", errors="replace")
            found = _DOCSTRING.match(text[:2000])
        except OSError:
            return ""
        return found.group(2) if found else ""

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


@dataclass
class Catalog:
    """All installed plugins, by kind and name.

    `third_party=False` leaves out everything that does not ship with segkit; `only`, if not empty,
    names the distributions or plugins of others that may take part; `files` are single modules
    that take part without being installed (`--plugin FILE`).
    """

    third_party: bool = True
    files: tuple[Path, ...] = ()
    only: tuple[str, ...] = ()
    _entries: list[Entry] | None = field(default=None, init=False, repr=False)
    _loaded: dict[tuple[str, str], type[Step]] = field(default_factory=dict, init=False, repr=False)
    _modules: dict[str, ModuleType] = field(default_factory=dict, init=False, repr=False)

    def entries(self, kind: str | None = None) -> list[Entry]:
        """Every plugin of a kind, or of all kinds, in the order in which values flow."""
        if self._entries is None:
            self._entries = _marked(self._installed() + self._inline())
        return [e for e in self._entries if kind in (None, e.kind)]

    def observers(self) -> list[Entry]:
        """The installed plugins that watch a run."""
        return self.entries(OBSERVER)

    def find(self, kind: str, name: str) -> Entry:
        """The plugin that `name` or `distribution:name` means.

        Raises `UsageError` for an unknown name (with the nearest ones), for one of another kind,
        and for a short name that two other distributions claim.
        """
        entries = [e for e in self.entries(kind) if e.status != "bad name"]
        if ":" in name:
            distribution, _, short = name.rpartition(":")
            hits = [
                e
                for e in entries
                if e.name == short and _same_distribution(e.distribution, distribution)
            ]
        else:
            hits = [e for e in entries if e.name == name]
            hits = [e for e in hits if e.distribution == BUNDLED] or hits
        if len(hits) > 1:
            choices = " or ".join(sorted(e.full_name for e in hits))
            raise UsageError(
                f"--{FLAGS.get(kind, kind)} {name} is offered by more than one package; "
                f"say which: {choices}"
            )
        if hits:
            return hits[0]
        raise UsageError(self._unknown(kind, name))

    def _unknown(self, kind: str, name: str) -> str:
        flag = FLAGS.get(kind, kind)
        usable = [e for e in self.entries(kind) if e.status != "bad name"]
        known = sorted({e.name for e in usable})
        bad = [e for e in self.entries(kind) if name in (e.name, e.full_name)]
        if bad:
            return f"--{flag} {name}: {bad[0].error}"
        other = [e for e in self.entries() if name in (e.name, e.full_name)]
        if other:
            article = "an" if other[0].kind[0] in "aeiou" else "a"
            return (
                f"--{flag} {name}: '{name}' is {article} {other[0].kind}, not a {kind}; "
                f"use --{FLAGS.get(other[0].kind, other[0].kind)} {name}"
            )
        short = name.rpartition(":")[2]
        near = get_close_matches(short, known, n=1)
        same = sorted(e.full_name for e in usable if e.name == short)
        hint = f"did you mean '{near[0]}'?" if near else f"there is {', '.join(known) or 'none'}"
        if same:  # a package that does not have it, or is not installed, was named
            hint = f"there is {' and '.join(same)}"
        return f"--{flag} {name}: no {kind} plugin has that name; {hint}"

    def load(self, kind: str, name: str) -> type[Step]:
        """Import the plugin and return its class, checked against its kind.

        Raises `UsageError` as `find` does, and `PluginError` if it cannot be imported or breaks
        its contract.
        """
        return self.load_entry(self.find(kind, name))

    def load_entry(self, entry: Entry) -> type[Step]:
        """The same for an entry at hand."""
        key = (entry.kind, entry.full_name)
        if key not in self._loaded:
            self._loaded[key] = _class_of(entry, self.import_entry(entry))
        return self._loaded[key]

    def import_entry(self, entry: Entry) -> ModuleType:
        """Import an entry's module; whatever it raises becomes one `PluginError`."""
        if entry.target not in self._modules:
            try:
                self._modules[entry.target] = _import(entry.target)
            except (Exception, SystemExit) as error:
                raise PluginError(
                    f"{entry.described} could not be loaded: "
                    f"{type(error).__name__}: {_first_line(error)}"
                ) from error
        return self._modules[entry.target]

    def origin(self, step: type[Step]) -> Entry | None:
        """The entry that a loaded class came from."""
        for (kind, full_name), cls in self._loaded.items():
            if cls is step:
                return next(e for e in self.entries(kind) if e.full_name == full_name)
        return None

    def check(self, entry: Entry) -> Entry:
        """The entry with status `ok` or `broken`, after importing it."""
        if entry.status == "bad name":
            return replace(entry, status="broken")
        try:
            if entry.kind == OBSERVER:
                self.import_entry(entry)
            else:
                self.load_entry(entry)
        except PluginError as error:
            return replace(entry, status="broken", error=str(error))
        return replace(entry, status="ok") if entry.status == "found" else entry

    def _installed(self) -> list[Entry]:
        kinds = {f"segkit.{kind}": kind for kind in (*REGISTRATION, OBSERVER)}
        found = []
        for point in _entry_points():
            kind = kinds.get(point.group)
            if kind is None or point.dist is None:
                continue
            try:
                distribution, version = point.dist.name, point.dist.version
            except Exception:  # damaged metadata raises many kinds; nobody could be named
                continue
            if distribution is None:  # what older importlib_metadata says of the same
                continue
            wanted = not self.only or {distribution, point.name} & set(self.only)
            if distribution == BUNDLED or (self.third_party and wanted):
                found.append(Entry(kind, point.name, distribution, version, point.value))
        return found

    def _inline(self) -> list[Entry]:
        """The plugins of single files; these have to be imported to know what they offer."""
        found = []
        for path in self.files:
            if not path.is_file():
                raise UsageError(f"--plugin {path}: there is no such file")
            if path.suffix != ".py":
                raise UsageError(f"--plugin {path}: it should be a Python file (.py)")
            probe = Entry("", path.stem, str(path), "file", str(path))
            module = self.import_entry(probe)
            for kind in REGISTRATION:
                for cls in _offered(module, kind, probe):
                    name = str(getattr(cls, "name", ""))
                    found.append(Entry(kind, name, path.stem, "file", str(path)))
            if not any(e.target == str(path) for e in found):
                raise UsageError(f"--plugin {path}: no function in it is marked with @hookimpl")
        return found


def _entry_points() -> Iterable[EntryPoint]:
    """Those of all installed distributions; one whose metadata is damaged hides no other's."""
    from importlib_metadata import distributions, entry_points

    try:
        return entry_points()
    except Exception:  # it reads all at once, so one line that makes no sense ends it
        found: dict[str, EntryPoints] = {}
        for distribution in distributions():
            with contextlib.suppress(Exception):
                found.setdefault(_normalised(distribution.name), distribution.entry_points)
        return [point for points in found.values() for point in points]


def _import(target: str) -> ModuleType:
    import importlib

    if not target.endswith(".py"):
        return importlib.import_module(target.partition(":")[0])
    from importlib.util import module_from_spec, spec_from_file_location

    name = f"segkit_inline_{Path(target).stem}"
    spec = spec_from_file_location(name, target)
    assert spec is not None  # the path ends in .py
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # pydantic resolves annotations through it
    spec.loader.exec_module(module)
    return module


def _offered(module: ModuleType, kind: str, entry: Entry) -> list[Any]:
    """What the module's registration hook of a kind returns, as a list."""
    import pluggy

    from segkit import hookspecs

    # A manager for each module: one that raises, or names an unknown hook, disturbs no other.
    manager = pluggy.PluginManager("segkit")
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module)
        manager.check_pending()
        results = getattr(manager.hook, REGISTRATION[kind])()
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{entry.described} could not be loaded: its hooks raise {type(error).__name__}: "
            f"{_first_line(error)}"
        ) from error
    offered: list[Any] = []
    for result in results:
        offered += result if isinstance(result, (list, tuple)) else [result]
    return offered


def _class_of(entry: Entry, module: ModuleType) -> type[Step]:
    """The class that an entry point names, checked."""
    from segkit.stages import KINDS

    who = entry.described
    hook, interface = REGISTRATION[entry.kind], KINDS[entry.kind]
    offered = _offered(module, entry.kind, entry)
    wrong = [c for c in offered if not (isinstance(c, type) and issubclass(c, interface))]
    if wrong:
        raise PluginError(
            f"{who} could not be used: {hook} should return subclasses of "
            f"{interface.__name__}, but returns {_shown(wrong[0])}"
        )
    for cls in offered:
        if cls.name == entry.name:
            try:
                cls.inputs()
                cls.output()
                for method in cls.extras:
                    if hasattr(cls, method):
                        cls.inputs_of(method)
            except PluginError as error:
                raise PluginError(f"{who} could not be used: {error}") from None
            except Exception as error:  # a signature or annotation that Python itself refuses
                raise PluginError(
                    f"{who} could not be used: {type(error).__name__}: {_first_line(error)}"
                ) from error
            return cls
    names = ", ".join(repr(c.name) for c in offered) or "nothing"
    raise PluginError(
        f"{who} could not be used: {hook} should return a class with name = '{entry.name}', "
        f"but returns {names}"
    )


def _marked(entries: Iterable[Entry]) -> list[Entry]:
    """The entries in order, with bad names and clashes marked."""
    order = {kind: i for i, kind in enumerate((*REGISTRATION, OBSERVER))}
    entries = sorted(entries, key=lambda e: (order[e.kind], e.name, e.distribution))
    owners: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        owners.setdefault((entry.kind, entry.name), []).append(entry.distribution)
    return [_mark(e, [d for d in owners[e.kind, e.name] if d != e.distribution]) for e in entries]


def _mark(entry: Entry, others: list[str]) -> Entry:
    if not _NAME.fullmatch(entry.name):
        return replace(
            entry,
            status="bad name",
            error=f"{entry.described} has a bad name; "
            "plugin names are lower-case words, digits and hyphens",
        )
    if not others or entry.distribution == BUNDLED or entry.kind == OBSERVER:
        return entry
    if BUNDLED in others:
        return replace(
            entry,
            status="shadowed",
            error=f"segkit's own plugin has the name '{entry.name}'; use {entry.full_name}",
        )
    return replace(
        entry,
        status="clash",
        error=f"{', '.join(others)} has a plugin of the same name; use {entry.full_name}",
    )


def _same_distribution(one: str, other: str) -> bool:
    """Whether two names mean the same distribution."""
    return _normalised(one) == _normalised(other)


def _normalised(distribution: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _shown(value: object) -> str:
    """What something is, without its address in memory."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    name = getattr(value, "__name__", None)
    return f"the {type(value).__name__} {name}" if isinstance(name, str) else repr(value)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0] or "no message"


def plugin_record(entry: Entry) -> Mapping[str, str | None]:
    """What `list-plugins --json` and a run's recipe say of a plugin."""
    return {
        "kind": entry.kind,
        "name": entry.name,
        "distribution": entry.distribution,
        "version": entry.version,
        "status": entry.status,
        "error": entry.error,
        "summary": entry.summary,
    }
