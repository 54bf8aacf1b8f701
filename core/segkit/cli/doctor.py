"""`segkit doctor`: whether this installation is sound, and what to do where it is not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from segkit.cli.main import make_catalog

if TYPE_CHECKING:
    from segkit.tools.doctor import Row

STYLES = {"ok": "green", "absent": "dim", "warning": "yellow", "broken": "bold red"}


def command() -> click.Command:
    """The command."""
    return click.Command(
        "doctor",
        callback=_doctor,
        help="Look at versions, extras, devices, plugins, weights and the folders that segkit "
        "writes to, with a line of advice for each that is not fine.\n\nThe exit code is 1 if "
        "something of segkit itself is broken, else 0: other people's plugins, an extra that is "
        "not installed or a full disk are told, but do not count.",
        params=[
            click.Option(["--json", "as_json"], is_flag=True, help="As JSON, for scripts."),
            click.Option(
                ["--plugin"], multiple=True, metavar="FILE", help="A single file with plugins."
            ),
        ],
    )


def _doctor(as_json: bool, plugin: tuple[str, ...]) -> int:
    from segkit.cli.console import Console
    from segkit.tools.doctor import BROKEN, examine

    catalog = make_catalog(plugin)
    catalog.entries()  # a file that --plugin names wrongly is wrong use
    console = Console(stderr=True)
    with console.status("looking; torch takes some seconds") as status:
        if as_json or not console.is_terminal:
            status.stop()
        rows = list(examine(catalog))
    sound = all(row.status != BROKEN for row in rows)
    if as_json:
        click.echo(json.dumps({"sound": sound, "rows": [vars(row) for row in rows]}, indent=2))
    else:
        _print(rows)
    return 0 if sound else 1


def _print(rows: Sequence[Row]) -> None:
    from rich.table import Table
    from rich.text import Text

    from segkit.cli.console import Console

    console = Console()
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="cyan", overflow="fold", max_width=24)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    before = None
    for row in rows:
        if row.group != before:
            table.add_row(Text(row.group, style="bold"), *([""] * 2))
            before = row.group
        text = Text(row.found)
        if row.advice:
            text.append(f"\n→ {row.advice}", style=STYLES[row.status])
        table.add_row(f"  {row.name}", Text(row.status, style=STYLES[row.status]), text)
    console.print(table)
    counts = {status: sum(row.status == status for row in rows) for status in STYLES}
    if counts["broken"]:
        words = f"{counts['broken']} of segkit's own things broken"
    else:
        words = "segkit is sound"
    if counts["warning"]:
        words += f", {counts['warning']} warning{'' if counts['warning'] == 1 else 's'}"
    console.print(f"\n{words}", style="bold")
