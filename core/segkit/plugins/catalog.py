"""Which plugins are installed, found by metadata alone; each is imported when it is used.

Nothing here is global: a `Catalog` is made in `main` (or in a notebook) and passed down. This
module imports neither numpy nor pydantic, so that listing plugins is quick.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from segkit.errors import PluginError, UsageError, did_you_mean, error_line, plugin_code
from segkit.kinds import API_GROUP, BUNDLED, COMMAND, KINDS, OBSERVER, a, flag_of
from segkit.plugins.entries import Entry, marked
from segkit.plugins.loading import (
    class_of,
    classes_in,
    command_of,
    import_module,
    registered,
    root_of_entry,
)
from segkit.plugins.observers import Watcher
from segkit.plugins.packages import installed, same_distribution
from segkit.plugins.places import place_of_error

if TYPE_CHECKING:
    from types import ModuleType

    from click import Command

    from segkit.plugins.steps import Step


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

        Last come those whose group is no kind, such as `segkit.prompter`. Commands take part in no
        run, so they are there only where their kind, `command`, is asked for.
        """
        if self._entries is None:
            self._entries = marked(self._installed() + self._inline())
        return [e for e in self._entries if kind == e.kind or (kind is None and e.kind != COMMAND)]

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
        registered(module, entry)
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
        same = sorted(e.full_name for e in usable if e.name == short)
        hint = did_you_mean(short, known, f"there is {', '.join(known) or 'none'}")
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
            cls = class_of(entry, self.import_entry(entry))
            cls.came_from = entry.source  # for sentences about what it does later
            self._loaded[key] = cls
        return self._loaded[key]

    def load_command(self, entry: Entry) -> Command:
        """The command of an entry at hand. Raises `PluginError` as `load` does."""
        return command_of(entry, self.import_entry(entry))

    def import_entry(self, entry: Entry) -> ModuleType:
        """Import an entry's module; whatever it raises becomes one `PluginError`.

        A plugin that was written for another plugin API is not imported, but refused.
        """
        if entry.status == "unsupported":
            raise PluginError(str(entry.error))
        if entry.target not in self._modules:
            if entry.kind != COMMAND:  # what fails in it is no fault of the plugin's
                import segkit.plugins.steps  # noqa: F401

            try:
                with plugin_code():
                    self._modules[entry.target] = import_module(entry.target)
            except Exception as error:
                raise PluginError(
                    f"{entry.described} could not be loaded: {error_line(error)}"
                    f"{place_of_error(root_of_entry(entry), error)}"
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
            elif entry.kind == COMMAND:
                self.load_command(entry)
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
                hint = did_you_mean(name, known, "see segkit list-plugins")
                raise UsageError(
                    f"--only {name}: no installed package or plugin has that name; {hint}"
                )
        return entries

    def _inline(self) -> list[Entry]:
        """The plugins of single files; these have to be imported to know what they offer."""
        entries: list[Entry] = []
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
            hooks = registered(module, probe)
            for kind in KINDS:
                for cls in classes_in(module, kind, probe):
                    name = getattr(cls, "name", None)  # an option of that name hides it
                    if not isinstance(name, str) or not name:
                        raise PluginError(
                            f"{probe.described} could not be used: its class {cls.__name__} "
                            f"should have a name, as in name = '{path.stem.replace('_', '-')}'"
                        )
                    entries.append(Entry(kind, name, path.stem, "file", str(path)))
            if hooks - {kind.hook for kind in KINDS.values()}:
                entries.append(Entry(OBSERVER, path.stem, path.stem, "file", str(path)))
            if not hooks:
                raise UsageError(f"--plugin {path}: no function in it is marked with @hookimpl")
            if not any(e.target == str(path) for e in entries):
                raise UsageError(
                    f"--plugin {path}: {min(hooks)} in it returns no plugin; "
                    "return a list of classes"
                )
        return entries
