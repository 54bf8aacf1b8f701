"""`segkit list-plugins`: what is installed, from metadata alone."""

from __future__ import annotations

import json

import click

from segkit.catalog import FLAGS, Catalog, Entry, plugin_record
from segkit.cli.main import make_catalog
from segkit.hookspecs import REGISTRATION


def command() -> click.Command:
    """The command."""
    return click.Command(
        "list-plugins",
        callback=_list_plugins,
        help="Show the installed plugins, by kind, with the package that each comes from.",
        params=[
            click.Option(
                ["--kind"],
                type=click.Choice([*REGISTRATION, "observer"]),
                metavar="KIND",
                help=f"Only this kind: {', '.join(REGISTRATION)} or observer.",
            ),
            click.Option(
                ["--check"],
                is_flag=True,
                help="Import each plugin and say whether it works; without it, none is imported.",
            ),
            click.Option(["--json", "as_json"], is_flag=True, help="As JSON, for scripts."),
            click.Option(
                ["--plugin"], multiple=True, metavar="FILE", help="A single file with plugins."
            ),
        ],
    )


def _list_plugins(kind: str | None, check: bool, as_json: bool, plugin: tuple[str, ...]) -> None:
    catalog = make_catalog(plugin)
    entries = catalog.entries(kind)
    if check:
        entries = [catalog.check(e) for e in entries]
    if as_json:
        click.echo(json.dumps([plugin_record(e) for e in entries], indent=2))
        return
    _print_table(catalog, entries, check)


def _print_table(catalog: Catalog, entries: list[Entry], check: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    bundled_only = all(e.distribution == "segkit" for e in entries)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("flag", style="dim", no_wrap=True)
    table.add_column("name", style="cyan", no_wrap=True)
    if not bundled_only:
        table.add_column("from", no_wrap=True)
    if check:
        table.add_column("status", no_wrap=True)
    table.add_column("what it is")
    before = None
    for entry in entries:
        if before not in (None, entry.kind):
            table.add_section()
        flag = "" if entry.kind == before else f"--{FLAGS.get(entry.kind, entry.kind)}"
        before = entry.kind
        row = [flag, entry.name]
        if not bundled_only:
            row.append(f"{entry.distribution} {entry.version}")
        if check:
            row.append(entry.status)
        row.append(entry.error or entry.summary)
        table.add_row(*row, style=None if entry.error is None else "yellow")
    console = Console(highlight=False, markup=False)
    console.print(table)
    console.print(
        "\nOptions of one: segkit show KIND NAME"
        + ("" if check else "    Do they work: segkit list-plugins --check"),
        style="dim",
    )
