"""Who watches a run: progress bar, trace, third parties. A run knows only this."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pluggy

from segkit import deprecations
from segkit.errors import error_line, plugin_code
from segkit.plugins import hookspecs
from segkit.plugins.places import place_of_error, root_of


@dataclass(frozen=True)
class Watcher:
    """An observer with the words that name it in a sentence."""

    plugin: Any
    """The module or object with watching hooks."""
    described: str
    """Such as `'watch' from mine 1.0`."""


def manager_of(plugin: object, described: str) -> pluggy.PluginManager:
    """A plugin's own manager, after a check of its hooks' names and arguments.

    Each has its own: pluggy gives up on all implementations of a hook where one raises. Raises
    `pluggy.PluginValidationError` for a hook or an argument that there is not.
    """
    manager = pluggy.PluginManager("segkit")
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)
    manager.check_pending()
    if deprecations.REGISTER:
        used = [
            (caller.name, implementation.argnames)
            for caller in manager.get_hookcallers(plugin) or ()
            for implementation in caller.get_hookimpls()
        ]
        deprecations.warn_of_hooks(used, described)
    return manager


class Observers:
    """Plugins with watching hooks, each told apart from the others.

    One that raises is dropped and named in `dropped`; the run goes on, for watching must not
    change what is watched.
    """

    def __init__(self, plugins: Iterable[object] = ()) -> None:
        self.dropped: list[str] = []
        self._turn = threading.RLock()
        self._managers: list[tuple[str, pluggy.PluginManager]] = []
        for plugin in plugins:
            if not isinstance(plugin, Watcher):
                name = getattr(plugin, "__name__", type(plugin).__name__)
                plugin = Watcher(plugin, f"'{name}'")
            manager = manager_of(plugin.plugin, plugin.described)
            self._managers.append((plugin.described, manager))

    def __bool__(self) -> bool:
        return bool(self._managers)

    def heed(self, *hooks: str) -> bool:
        """Whether somebody watches by one of these hooks."""
        names = {name for hook in hooks for name in (hook, *deprecations.hooks_before(hook))}
        callers = [getattr(m.hook, name) for _, m in self._managers for name in names]
        return any(caller.get_hookimpls() for caller in callers)

    def tell(self, hook: str, **arguments: Any) -> None:
        """Call the hook of this name on every observer; none is called by two threads at once."""
        with self._turn:
            for name in (hook, *deprecations.hooks_before(hook)):
                older = deprecations.arguments_before(name)
                self._tell(name, arguments | {old: arguments[new] for old, new in older.items()})

    def _tell(self, hook: str, arguments: dict[str, Any]) -> None:
        for described, manager in tuple(self._managers):
            try:
                with plugin_code():
                    getattr(manager.hook, hook)(**arguments)
            except Exception as error:
                self._managers.remove((described, manager))
                self.dropped.append(
                    f"the observer {described} was switched off: {hook} raised {error_line(error)}"
                    f"{_place(manager, error)}"
                )


def _place(manager: pluggy.PluginManager, error: Exception) -> str:
    """Where in a module that watches it went wrong; nothing for an object of Python's user."""
    modules = [p for p in manager.get_plugins() if isinstance(p, ModuleType)]
    return place_of_error(root_of(modules[0].__name__), error) if modules else ""
