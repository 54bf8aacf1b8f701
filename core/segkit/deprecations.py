"""What is deprecated, and the release that removes it; no other place says so.

A name, a hook or a hook's argument that is to go is entered here, and goes on working until the
release that removes it. Who uses it is warned once, by a sentence that names what to use instead.
A test fails as soon as an entry has outlived its release. What a kind takes and gives is not
deprecated here: it changes with the version of the plugin API (see docs/stability.md).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass


class SegkitWarning(UserWarning):
    """What a user should know although the work went on; its text is a full sentence."""


class SegkitDeprecationWarning(SegkitWarning):
    """A plugin uses what a coming release removes. Shown by default: its author may not know."""


@dataclass(frozen=True)
class Deprecation:
    """One thing that is to go."""

    instead: str
    """What to use, of the same sort: a public name, a hook, an argument of the same hook, a method
    of the same kind."""
    since: str
    """The release that deprecated it."""
    removed_in: str
    """The release that removes it."""


FINISH = "Writer.finish(directory)"
"""The key of writers that do not ask which images are finished."""

REGISTER: dict[str, Deprecation] = {
    "segkit.id_of": Deprecation("segkit.add_class", since="0.2", removed_in="0.4"),
    FINISH: Deprecation("Writer.finish(directory, images)", since="0.2", removed_in="0.4"),
}
"""What is to go. Keys: `segkit.NAME` a public name, `HOOK` a hook, `HOOK(ARGUMENT)` an argument,
`KIND.METHOD(ARGUMENTS)` a method of a kind as plugins may have written it.

A deprecated hook or argument stays in `plugins.hookspecs`; what it was given before it gets from
its successor. A deprecated public name leaves `segkit/__init__.py`. Who calls the method sees how
it is written.
"""


def warn(name: str, user: str = "", *, stacklevel: int = 1) -> None:
    """Warn of one entry of the register. `user` names the plugin that uses it.

    The same sentence is shown once, as Python's filter of warnings has it by default.
    """
    entry = REGISTER[name]
    who = f"{user} uses {name}, which" if user else name
    warnings.warn(
        f"{who} is deprecated since segkit {entry.since} and removed in {entry.removed_in}; "
        f"use {entry.instead}",
        SegkitDeprecationWarning,
        stacklevel=stacklevel + 1,
    )


def hooks_before(hook: str) -> list[str]:
    """The deprecated hooks whose place this one has taken."""
    return [old for old, entry in REGISTER.items() if entry.instead == hook]


def arguments_before(hook: str) -> dict[str, str]:
    """The hook's deprecated arguments, each with the one that has taken its place."""
    return {
        old.removeprefix(f"{hook}(").removesuffix(")"): entry.instead
        for old, entry in REGISTER.items()
        if old.startswith(f"{hook}(")
    }


def warn_of_hooks(implemented: Iterable[tuple[str, Iterable[str]]], user: str) -> None:
    """Warn of what a plugin implements: names of hooks, each with the arguments it asks for."""
    for hook, arguments in implemented:
        for used in (hook, *(f"{hook}({argument})" for argument in arguments)):
            if used in REGISTER:
                warn(used, user)
