"""Loading a plugin: its module imported, its hooks checked, its class held to its kind.

Whatever the plugin raises becomes one `PluginError` that names it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit import deprecations
from segkit.errors import PluginError, did_you_mean, error_line, plugin_code
from segkit.kinds import BUNDLED, KINDS, OBSERVER, a
from segkit.plugins import hookspecs
from segkit.plugins.entries import Entry
from segkit.plugins.observers import manager_of
from segkit.plugins.places import place_of_code, place_of_error

if TYPE_CHECKING:
    from types import ModuleType

    from click import Command
    from pluggy import PluginManager

    from segkit.plugins.steps import Step


def import_module(target: str) -> ModuleType:
    """Import a module by its dotted name (`a.b` or `a.b:thing`), or a single file by its path."""
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


def registered(module: ModuleType, entry: Entry) -> set[str]:
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
        hooks = [name for name in vars(hookspecs) if name.startswith("segkit_")]
        hint = did_you_mean(unknown[1], hooks, "")
        return PluginError(
            f"{entry.described} could not be loaded: there is no hook '{unknown[1]}'"
            f"{'; ' if hint else ''}{hint}"
        )
    return PluginError(
        f"{entry.described} could not be loaded: its hooks raise {error_line(error)}"
        f"{place_of_error(root_of_entry(entry), error)}"
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


def classes_in(module: ModuleType, kind: str, entry: Entry) -> list[type[Step]]:
    """What the module offers of a kind, after a check that these are classes of that kind."""
    from segkit.plugins.steps import INTERFACES

    offered = _offered(module, kind, entry)
    for cls in offered:
        if not (isinstance(cls, type) and issubclass(cls, INTERFACES[kind])):
            raise PluginError(
                f"{entry.described} could not be used: {KINDS[kind].hook} should return "
                f"subclasses of {KINDS[kind].interface}, but returns {_shown(cls)}"
                f"{_place_of_hook(module, entry, KINDS[kind].hook)}"
            )
    return offered


def class_of(entry: Entry, module: ModuleType) -> type[Step]:
    """The class that an entry point names, checked."""
    who, hook = entry.described, KINDS[entry.kind].hook
    offered = classes_in(module, entry.kind, entry)
    for cls in offered:
        if cls.name == entry.name:
            try:
                with plugin_code():
                    cls.inputs()
                    cls.output()
                    for method in cls.extras:
                        if hasattr(cls, method):
                            cls.inputs_of(method)
            except Exception as error:
                # Else it is a signature or annotation that Python itself refuses.
                text = str(error) if isinstance(error, PluginError) else error_line(error)
                place = ""
                if entry.distribution != BUNDLED:
                    place = place_of_code(root_of_entry(entry), getattr(cls, cls.work, None))
                raise PluginError(f"{who} could not be used: {text}{place}") from error
            return cls
    if not offered and (reason := _unregistered(entry, module)):
        raise PluginError(f"{who} could not be used: {reason}")
    names = ", ".join(repr(c.name) for c in offered) or "nothing"
    raise PluginError(
        f"{who} could not be used: {hook} should return a class with name = '{entry.name}', "
        f"but returns {names}{_place_of_hook(module, entry, hook)}"
    )


def command_of(entry: Entry, module: ModuleType) -> Command:
    """The command that an entry point names as `module:name`. Raises `PluginError` for others."""
    import click

    name = entry.target.partition(":")[2]
    command = getattr(module, name, None) if name else None
    if not isinstance(command, click.Command):
        raise PluginError(
            f"{entry.described} could not be used: its entry point should name a click command, as "
            f"in {module.__name__}:command, but names {_shown(module if not name else command)}"
        )
    return command


def root_of_entry(entry: Entry) -> Path | None:
    """The folder of the package that an entry's module is in, or the file that it is alone."""
    if entry.target.endswith(".py"):
        return Path(entry.target)
    from importlib.util import find_spec

    try:
        spec = find_spec(entry.target.partition(":")[0].partition(".")[0])
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or ())
    return Path(folders[0]) if folders else Path(spec.origin) if spec.origin else None


def _place_of_hook(module: ModuleType, entry: Entry, hook: str) -> str:
    """Where the function is that registers what is wrong."""
    return place_of_code(root_of_entry(entry), getattr(module, hook, None))


def _unregistered(entry: Entry, module: ModuleType) -> str | None:
    """Why a module has no registration hook of its entry's kind; None if it has one."""
    marked, hook = registered(module, entry), KINDS[entry.kind].hook
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


def _shown(value: object) -> str:
    """What something is, without its address in memory."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    name = getattr(value, "__name__", None)
    return f"the {type(value).__name__} {name}" if isinstance(name, str) else repr(value)
