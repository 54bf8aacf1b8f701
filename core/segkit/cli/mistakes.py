"""What to say of an option that no command and no chosen plugin has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from segkit.errors import did_you_mean
from segkit.kinds import flag_of
from segkit.plugins.catalog import Catalog

if TYPE_CHECKING:
    from segkit.cli.options import Chosen


def unknown_option(error: click.NoSuchOption, catalog: Catalog, chosen: Sequence[Chosen]) -> str:
    """Why an option is unknown: not chosen, misspelt, ambiguous, or no such thing."""
    flag = error.option_name
    prefix, _, option = flag.lstrip("-").rpartition(".")
    if not prefix:
        hint = f"; did you mean {error.possibilities[0]}?" if error.possibilities else ""
        return f"there is no option {flag}{hint or '; see --help'}"
    owners = [c for c in chosen if prefix in (c.name, c.prefix)]
    having = [c for c in owners if option.replace("-", "_") in c.step.model_fields]
    if len(having) > 1:
        choices = " or ".join(f"--{c.prefix}.{option}" for c in having)
        return f"{flag} could mean more than one step; say which: {choices}"
    if owners:
        known = [f.replace("_", "-") for f in owners[0].step.model_fields]
        shown = f"--{prefix}.{{}}"
        hint = did_you_mean(option, known, f"it has: {', '.join(known)}", shown=shown)
        return f"{flag}: {owners[0].name} has no option '{option}'; {hint}"
    entries = [e for e in catalog.entries() if prefix in (e.name, f"{flag_of(e.kind)}.{e.name}")]
    if entries:
        entry = entries[0]
        return (
            f"{flag} is an option of the {entry.kind} plugin '{entry.name}', which is not chosen; "
            f"add --{flag_of(entry.kind)} {entry.name}"
        )
    names, shown = [c.name for c in chosen], f"--{{}}.{option}"
    hint = did_you_mean(prefix, names, "see segkit list-plugins", shown=shown)
    return f"{flag}: no plugin is named '{prefix}'; {hint}"
