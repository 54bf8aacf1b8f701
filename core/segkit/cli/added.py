"""The commands that packages add to `segkit`, by entry points of the group `segkit.command`.

They are listed by metadata alone. One is imported when it is called, so that a broken one is a
sentence for who calls it and nothing for others.
"""

from __future__ import annotations

from collections.abc import Collection

import click

from segkit.errors import PluginError, SegkitError, UsageError, error_line
from segkit.kinds import BUNDLED, COMMAND
from segkit.plugins.catalog import Catalog
from segkit.plugins.entries import Entry
from segkit.plugins.loading import root_of_entry
from segkit.plugins.places import place_of_error


def added_commands(catalog: Catalog, taken: Collection[str] = ()) -> dict[str, Entry]:
    """What each is called by to its entry; those that come with segkit first.

    A name that is `taken`, by segkit's own commands, or that two packages offer, stands as
    `distribution:name`.
    """
    usable = [e for e in catalog.entries(COMMAND) if e.status != "bad name"]
    usable.sort(key=lambda entry: entry.distribution != BUNDLED)
    return {
        e.full_name if e.name in taken or e.status in ("clash", "shadowed") else e.name: e
        for e in usable
    }


def find_command(name: str, added: dict[str, Entry]) -> Entry | None:
    """The command that `name` or `distribution:name` means, None for none of them.

    Raises `UsageError` for a short name that two packages claim.
    """
    if name in added:
        return added[name]
    same = sorted(e.full_name for e in added.values() if name in (e.name, e.full_name))
    if len(same) > 1:
        raise UsageError(
            f"the command '{name}' is offered by more than one package; say which: "
            f"{' or '.join(f'segkit {choice}' for choice in same)}"
        )
    return next((e for e in added.values() if name in (e.name, e.full_name)), None)


def as_sentence(error: Exception, entry: Entry) -> Exception:
    """What a package's command raised: as it is if it is told already, else a `PluginError`."""
    told = (SegkitError, click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError)
    if isinstance(error, told):
        return error
    return PluginError(
        f"the command {entry.described} failed: {error_line(error)}"
        f"{place_of_error(root_of_entry(entry), error)}"
    )
