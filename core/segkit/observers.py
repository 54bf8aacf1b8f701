"""Who watches a run: progress bar, trace, third parties. The runner knows only this."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pluggy

from segkit import hookspecs


class Observers:
    """Plugins with watching hooks, each told apart from the others.

    One that raises is dropped and named in `dropped`; the run goes on, for watching must not
    change what is watched.
    """

    def __init__(self, plugins: Iterable[object] = ()) -> None:
        self.dropped: list[str] = []
        self._managers: list[pluggy.PluginManager] = []
        for plugin in plugins:
            # A manager for each: pluggy gives up on all implementations where one raises.
            manager = pluggy.PluginManager("segkit")
            manager.add_hookspecs(hookspecs)
            manager.register(plugin)
            self._managers.append(manager)

    def __bool__(self) -> bool:
        return bool(self._managers)

    def tell(self, hook: str, **what: Any) -> None:
        """Call the hook of this name on every observer."""
        for manager in tuple(self._managers):
            try:
                getattr(manager.hook, hook)(**what)
            except Exception as error:
                self._managers.remove(manager)
                who = ", ".join(name for name, _ in manager.list_name_plugin())
                self.dropped.append(
                    f"the observer {who} was switched off: {hook} raised "
                    f"{type(error).__name__}: {error}"
                )
