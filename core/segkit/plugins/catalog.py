"""Which plugins are installed, found by metadata alone; each is imported when it is used.

Nothing here is global: a `Catalog` is made in `main` (or in a notebook) and passed down. This
module imports neither numpy nor pydantic, so that listing plugins is quick.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit import deprecations
from segkit.errors import PluginError, UsageError, error_line, plugin_code
from segkit.kinds import API_GROUP, BUNDLED, GROUPS, KINDS, OBSERVER, a, flag_of
from segkit.plugins import hookspecs
from segkit.plugins.observers import Watcher, manager_of
from segkit.plugins.packages import Package, installed, same_distribution

if TYPE_CHECKING:
    from types import ModuleType

    from pluggy import PluginManager

    from segkit.plugins.steps import Step

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
    that take part without being installed (`--plugin FILE`) and win their short names.
    """

    third_party: bool = True
    files: tuple[Path, ...] = ()
    only: tuple[str, ...] = ()
    _entries: list[Entry] | None = field(default=None, init=False, repr=False)
    _loaded: dict[tuple[str, str, str], type[Step]] = field(
        default_factory=dict, init=False, repr=False
    )
    _modules: dict[str, ModuleType] = field(default_factory=dict, init=False, repr=False)
    _watching: dict[Entry, Watcher] = field(default_factory=dict, init=False, repr=False)

    def entries(self, kind: str | None = None) -> list[Entry]:
        """Every plugin of a kind, or of all kinds, in the order in which values flow.

        Last come those whose group is no kind, such as `segkit.prompter`.
        """
        if self._entries is None:
            self._entries = _marked(self._installed() + self._inline())
        return [e for e in self._entries if kind in (None, e.kind)]

    def observers(self) -> list[Entry]:
        """The plugins that watch a run."""
        return self.entries(OBSERVER)

    def watchers(self) -> tuple[list[Watcher], list[str]]:
        """All of them, loaded, and a sentence for each that could not be."""
        broken = []
        for entry in self.observers():
            try:
                self._watching.setdefault(entry, self._watcher(entry))
            except PluginError as error:
                broken.append(str(error))
        return list(self._watching.values()), broken

    @property
    def watching(self) -> list[Entry]:
        """The observers that `watchers` has loaded."""
        return list(self._watching)

    def _watcher(self, entry: Entry) -> Watcher:
        module = self.import_entry(entry)
        _registered(module, entry)
        return Watcher(module, entry.described)

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
                if e.name == short and same_distribution(e.distribution, distribution)
            ]
            hits = [e for e in hits if e.distribution == distribution] or hits
            hits = [e for e in hits if e.package is None] or hits
        else:
            hits = [e for e in entries if e.name == name]
            # The user named the file, and did not name what else is installed.
            files = [e for e in hits if e.package is None]
            hits = files or [e for e in hits if e.distribution == BUNDLED] or hits
        if len(hits) > 1:
            choices = " or ".join(sorted(e.full_name for e in hits))
            raise UsageError(
                f"--{flag_of(kind)} {name} is offered by more than one package; "
                f"say which: {choices}"
            )
        if hits:
            return hits[0]
        raise UsageError(self._unknown(kind, name))

    def _unknown(self, kind: str, name: str) -> str:
        flag = flag_of(kind)
        usable = [e for e in self.entries(kind) if e.status != "bad name"]
        known = sorted({e.name for e in usable})
        astray = [e for e in self.entries() if e.status == "bad group"]
        bad = [e for e in self.entries(kind) + astray if name in (e.name, e.full_name)]
        if bad:
            return f"--{flag} {name}: {bad[0].error}"
        other = [e for e in self.entries() if name in (e.name, e.full_name)]
        if other:
            return (
                f"--{flag} {name}: '{name}' is {a(other[0].kind)}, not {a(kind)}; "
                f"use --{flag_of(other[0].kind)} {name}"
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
        key = (entry.kind, entry.name, entry.source)
        if key not in self._loaded:
            cls = _class_of(entry, self.import_entry(entry))
            cls.came_from = entry.source  # for sentences about what it does later
            self._loaded[key] = cls
        return self._loaded[key]

    def import_entry(self, entry: Entry) -> ModuleType:
        """Import an entry's module; whatever it raises becomes one `PluginError`.

        A plugin that was written for another plugin API is not imported, but refused.
        """
        if entry.status == "unsupported":
            raise PluginError(str(entry.error))
        if entry.target not in self._modules:
            try:
                with plugin_code():
                    self._modules[entry.target] = _import(entry.target)
            except Exception as error:
                raise PluginError(
                    f"{entry.described} could not be loaded: {error_line(error)}"
                ) from error
        return self._modules[entry.target]

    def origin(self, step: type[Step]) -> Entry | None:
        """The entry that a loaded class came from."""
        for (kind, name, source), cls in self._loaded.items():
            if cls is step:
                return next(e for e in self.entries(kind) if (e.name, e.source) == (name, source))
        return None

    def check(self, entry: Entry) -> Entry:
        """The entry with status `ok` or `broken`, after importing it; how long that took.

        One that is `unsupported` stays so and is not imported.
        """
        if entry.status == "unsupported":
            return entry
        if entry.status in ("bad name", "bad group"):
            return replace(entry, status="broken")
        import segkit.plugins.steps  # noqa: F401  # what every plugin needs is not the first one's cost

        start = time.perf_counter()
        try:
            if entry.kind == OBSERVER:
                self._watcher(entry)
            else:
                self.load_entry(entry)
        except PluginError as error:
            return replace(entry, status="broken", error=str(error))
        entry = replace(entry, seconds=time.perf_counter() - start)
        return replace(entry, status="ok") if entry.status == "found" else entry

    def _installed(self) -> list[Entry]:
        """What the metadata of installed distributions names, as far as it may take part.

        Raises `UsageError` for a name in `only` that no distribution and no plugin has.
        """
        entries: list[Entry] = []
        known: set[str] = set()
        for package, points in installed():
            for point in points:
                ours, _, kind = point.group.partition(".")
                if ours != BUNDLED or not kind or point.group == API_GROUP:
                    continue
                known |= {package.name, point.name}
                wanted = not self.only or {package.name, point.name} & set(self.only)
                if package.name == BUNDLED or (self.third_party and wanted):
                    names = (point.name, package.name, package.version, point.value)
                    entries.append(Entry(kind, *names, package=package))
        for name in self.only:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                hint = f"did you mean '{near[0]}'?" if near else "see segkit list-plugins"
                raise UsageError(
                    f"--only {name}: no installed package or plugin has that name; {hint}"
                )
        return entries

    def _inline(self) -> list[Entry]:
        """The plugins of single files; these have to be imported to know what they offer."""
        found: list[Entry] = []
        files: dict[str, Path] = {}
        for path in self.files:
            other = files.setdefault(path.stem, path)
            if other is not path:
                if other.resolve() == path.resolve():
                    continue  # named twice
                raise UsageError(
                    f"--plugin {path}: its plugins would have the same names as those of {other}, "
                    "since the files have the same name; rename one of them"
                )
            if path.is_dir():
                raise UsageError(f"--plugin {path}: it is a folder; name a Python file in it")
            if not path.is_file():
                raise UsageError(f"--plugin {path}: there is no such file")
            if path.suffix != ".py":
                raise UsageError(f"--plugin {path}: it should be a Python file (.py)")
            if same_distribution(path.stem, BUNDLED):
                raise UsageError(
                    f"--plugin {path}: its plugins would have the same full names as segkit's "
                    "own, since the file has segkit's name; rename it"
                )
            probe = Entry("", path.stem, str(path), "file", str(path))
            module = self.import_entry(probe)
            hooks = _registered(module, probe)
            for kind in KINDS:
                for cls in _classes(module, kind, probe):
                    name = getattr(cls, "name", None)  # an option of that name hides it
                    if not isinstance(name, str) or not name:
                        raise PluginError(
                            f"{probe.described} could not be used: its class {cls.__name__} "
                            f"should have a name, as in name = '{path.stem.replace('_', '-')}'"
                        )
                    found.append(Entry(kind, name, path.stem, "file", str(path)))
            if hooks - {kind.hook for kind in KINDS.values()}:
                found.append(Entry(OBSERVER, path.stem, path.stem, "file", str(path)))
            if not hooks:
                raise UsageError(f"--plugin {path}: no function in it is marked with @hookimpl")
            if not any(e.target == str(path) for e in found):
                raise UsageError(
                    f"--plugin {path}: {min(hooks)} in it returns no plugin; "
                    "return a list of classes"
                )
        return found


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


def _registered(module: ModuleType, entry: Entry) -> set[str]:
    """The names of the hooks that a module implements, after checking them."""
    manager = _manager(module, entry)
    return {caller.name for caller in manager.get_hookcallers(module) or ()}


def _manager(module: ModuleType, entry: Entry) -> PluginManager:
    # A manager for each module: one that raises, or names an unknown hook, disturbs no other.
    try:
        with plugin_code():
            return manager_of(module, entry.described)
    except Exception as error:
        raise _hook_error(entry, error) from error


def _hook_error(entry: Entry, error: Exception) -> PluginError:
    unknown = re.match(r"unknown hook '(\w+)'", str(error))
    if unknown is not None:  # pluggy's own sentence goes on with the module's repr
        near = get_close_matches(unknown[1], [n for n in vars(hookspecs) if n[:7] == "segkit_"], 1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        return PluginError(
            f"{entry.described} could not be loaded: there is no hook '{unknown[1]}'{hint}"
        )
    return PluginError(
        f"{entry.described} could not be loaded: its hooks raise {error_line(error)}"
    )


def _offered(module: ModuleType, kind: str, entry: Entry) -> list[Any]:
    """What the module's registration hook of a kind returns, as a list."""
    manager = _manager(module, entry)
    hook = KINDS[kind].hook
    results: list[Any] = []
    try:
        for name in (hook, *deprecations.hooks_before(hook)):
            with plugin_code():
                results += getattr(manager.hook, name)()
    except Exception as error:
        raise _hook_error(entry, error) from error
    offered: list[Any] = []
    for result in results:
        offered += result if isinstance(result, (list, tuple)) else [result]
    return offered


def _classes(module: ModuleType, kind: str, entry: Entry) -> list[type[Step]]:
    """What the module offers of a kind, after a check that these are classes of that kind."""
    from segkit.plugins.steps import INTERFACES

    offered = _offered(module, kind, entry)
    for one in offered:
        if not (isinstance(one, type) and issubclass(one, INTERFACES[kind])):
            raise PluginError(
                f"{entry.described} could not be used: {KINDS[kind].hook} should return "
                f"subclasses of {KINDS[kind].interface}, but returns {_shown(one)}"
            )
    return offered


def _class_of(entry: Entry, module: ModuleType) -> type[Step]:
    """The class that an entry point names, checked."""
    who, hook = entry.described, KINDS[entry.kind].hook
    offered = _classes(module, entry.kind, entry)
    for cls in offered:
        if cls.name == entry.name:
            try:
                with plugin_code():
                    cls.inputs()
                    cls.output()
                    for method in cls.extras:
                        if hasattr(cls, method):
                            cls.inputs_of(method)
            except PluginError as error:
                raise PluginError(f"{who} could not be used: {error}") from None
            except Exception as error:  # a signature or annotation that Python itself refuses
                raise PluginError(f"{who} could not be used: {error_line(error)}") from error
            return cls
    if not offered and (reason := _unregistered(entry, module)):
        raise PluginError(f"{who} could not be used: {reason}")
    names = ", ".join(repr(c.name) for c in offered) or "nothing"
    raise PluginError(
        f"{who} could not be used: {hook} should return a class with name = '{entry.name}', "
        f"but returns {names}"
    )


def _unregistered(entry: Entry, module: ModuleType) -> str | None:
    """Why a module has no registration hook of its entry's kind; None if it has one."""
    marked, hook = _registered(module, entry), KINDS[entry.kind].hook
    if marked & {hook, *deprecations.hooks_before(hook)}:
        return None
    if not marked:
        return f"no function in {module.__name__} is marked with @hookimpl"
    if callable(getattr(module, hook, None)):
        return f"{hook} in {module.__name__} is not marked with @hookimpl"
    kinds = [kind.name for kind in KINDS.values() if kind.hook in marked] or [OBSERVER]
    return (
        f"it stands in the group segkit.{entry.kind}, but {module.__name__} registers "
        f"{' and '.join(f'{a(kind)} (group segkit.{kind})' for kind in kinds)}"
    )


def _marked(entries: Iterable[Entry]) -> list[Entry]:
    """The entries in order, with bad names and clashes marked."""
    order = {kind: i for i, kind in enumerate((*KINDS, OBSERVER))}
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
    if not _NAME.fullmatch(entry.name):
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
    near = get_close_matches(entry.kind.lower(), known, n=1)
    hint = f"did you mean '{known[near[0]]}'?" if near else f"there is {', '.join(GROUPS[:-1])}"
    return f"group 'segkit.{entry.kind}' of {entry.source} is no kind; {hint}"


def _shown(value: object) -> str:
    """What something is, without its address in memory."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    name = getattr(value, "__name__", None)
    return f"the {type(value).__name__} {name}" if isinstance(name, str) else repr(value)


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
