"""`segkit list-plugins`: what is installed, from metadata alone.

The table is made without Rich, whose import alone takes as long as the rest of the command.
"""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby

import click

from segkit.cli.main import make_catalog
from segkit.errors import visible
from segkit.kinds import COMMAND, GROUPS, KINDS, OBSERVER, flag_of
from segkit.plugins.entries import Entry, plugin_record
from segkit.running.recipe_files import bundled_recipes, recipe_summary

NARROW = 32
"""A column of text that is narrower than this is hard to read."""


def command() -> click.Command:
    """The command."""
    return click.Command(
        "list-plugins",
        callback=_list_plugins,
        help="Show the installed plugins, by kind, with the package that each comes from, the "
        "commands that packages add, and the recipes that come with segkit.",
        params=[
            click.Option(
                ["--kind"],
                type=click.Choice([*KINDS, OBSERVER, COMMAND]),
                metavar="KIND",
                help=f"Only this kind: {', '.join(KINDS)}, {OBSERVER} or {COMMAND}.",
            ),
            click.Option(
                ["--check"],
                is_flag=True,
                help="Import each plugin, and say whether it works and how long the import took; "
                "without it, none is imported.",
            ),
            click.Option(["--json", "as_json"], is_flag=True, help="As JSON, for scripts."),
            click.Option(
                ["--plugin"], multiple=True, metavar="FILE", help="A single file with plugins."
            ),
            click.Option(
                ["--only"],
                multiple=True,
                metavar="NAME",
                help="Show this package's plugins, or this plugin, alone.",
            ),
        ],
    )


def _list_plugins(
    kind: str | None, check: bool, as_json: bool, plugin: tuple[str, ...], only: tuple[str, ...]
) -> None:
    catalog = make_catalog(plugin, only)
    entries = catalog.entries(kind)
    entries += [] if kind else catalog.entries(COMMAND)
    if only:
        named = {*only}
        entries = [e for e in entries if {e.distribution, e.name} & named or e.package is None]
    if check:
        entries = [catalog.check(e) for e in entries]
    if as_json:
        click.echo(json.dumps([plugin_record(e) for e in entries], indent=2))
        return
    lines = [*_table(entries, check), "", *_sources(entries), ""]
    lines += [] if kind else [*_recipes(), ""]
    lines.append(_dim("Options of one: segkit show KIND NAME"))
    lines += [] if check else [_dim("Do they work:   segkit list-plugins --check")]
    click.echo("\n".join(lines))


def _dim(text: str) -> str:
    return click.style(text, dim=True)


def _table(entries: Sequence[Entry], check: bool) -> Iterator[str]:
    """The lines of the table; the last column is broken at the terminal's width."""
    bundled_only = all(e.distribution == "segkit" for e in entries)
    titles = ["flag", "name"]
    titles += [] if bundled_only else ["from"]
    titles += ["status", "import"] if check else []
    rows = []
    for kind, several in groupby(entries, key=lambda e: e.kind):
        known = f"segkit.{kind}" in GROUPS
        flag = f"--{flag_of(kind)}" if known else f"segkit.{kind}"
        flag = "segkit" if kind == COMMAND else flag
        for entry in several:
            cells = [visible(flag), visible(entry.name)]
            cells += [] if bundled_only else [_source(entry)]
            if check:
                spent = "" if entry.seconds is None else f"{entry.seconds * 1000:.0f} ms"
                cells += [entry.status, f"{spent:>7}"]
            rows.append((cells, entry))
            flag = ""
    columns = zip(titles, *(cells for cells, _ in rows), strict=True)
    widths = [max(len(cell) for cell in column) for column in columns]
    terminal = shutil.get_terminal_size().columns
    indent = sum(widths) + 2 * len(widths)
    below = terminal - indent < NARROW
    if below:  # what it is stands under the name
        indent = widths[0] + 4

    def line(cells: Sequence[str]) -> list[str]:
        return [f"{cell:{width}}  " for cell, width in zip(cells, widths, strict=True)]

    yield click.style("".join(line(titles)) + ("" if below else "what it is"), bold=True)
    for cells, entry in rows:
        fault = None if entry.error is None else "yellow"
        room = max(terminal - indent, NARROW)
        texts = textwrap.wrap(visible(entry.error or entry.summary), room, break_on_hyphens=False)
        styled = [click.style(text, fg=fault) for text in texts]
        flag, name, *others = line(cells)
        first = styled.pop(0) if styled and not below else ""
        yield "".join([_dim(flag), click.style(name, fg="cyan"), *others, first]).rstrip()
        yield from (" " * indent + text for text in styled)


def _recipes() -> Iterator[str]:
    """The recipes that come with segkit, each with what it is for."""
    known = {name: recipe_summary(path) for name, path in bundled_recipes().items()}
    width = max((len(name) for name in known), default=0)
    room = max(shutil.get_terminal_size().columns - width - 12, NARROW)
    for name, summary in known.items():
        first, *more = textwrap.wrap(summary, room) or [""]
        yield f"{_dim('--recipe')}  {click.style(f'{name:{width}}', fg='cyan')}  {first}"
        yield from (" " * (width + 12) + text for text in more)


def _sources(entries: Sequence[Entry]) -> Iterator[str]:
    """Where each package came from, in a line each."""
    places = {_source(e): e.where for e in entries}
    width = max((len(source) for source in places), default=0)
    for source, place in places.items():
        yield f"{source:{width}}  {_dim(visible(place))}"


def _source(entry: Entry) -> str:
    return visible(f"{entry.distribution} {entry.version}")
