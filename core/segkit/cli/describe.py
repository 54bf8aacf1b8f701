"""`segkit describe`: what a data set holds, and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segkit.cli.common import check_flags, plugin_options
from segkit.cli.options import PlanCommand, completed, kind_options
from segkit.cli.signals import stop_code, tell_stopped

if TYPE_CHECKING:
    from rich.table import Table

    from segkit.cli.console import Console
    from segkit.plugins.steps import Dataset
    from segkit.reporting.describe import Description

MOST = 20
"""So many classes, groups and problems are printed; the page and --json have all."""

BAR = 16
"""Characters of the longest bar."""


def command() -> click.Command:
    """The command."""
    return PlanCommand(
        "describe",
        kinds=("dataset",),
        callback=_describe,
        help="Say what a data set holds: images, pixels and objects of each class, sizes, the "
        "share of void, and the images that cannot be used. Nothing is written without -o; the "
        "exit code is 1 if there are images that a run would fail on.\n\n"
        "Examples:\n\n"
        "\b\n"
        "  segkit describe --dataset pets --pets.root DIR -o pets.html\n"
        "  segkit describe photos/ --files.masks masks/\n",
        params=[
            click.Argument(["images"], nargs=-1, metavar="[IMAGE|FOLDER|GLOB]..."),
            *kind_options(("dataset",)),
            click.Option(
                ["-o", "--output"],
                metavar="DIR|FILE",
                help="Write a page with charts and pictures to FILE.html, the figures to "
                "FILE.json, or both into DIR.",
            ),
            *plugin_options(),
            click.Option(["--quiet"], is_flag=True, help="Print nothing but errors."),
            click.Option(["--json", "as_json"], is_flag=True, help="Print all figures as JSON."),
            click.Option(["--debug"], is_flag=True, help="Show the stack trace of errors."),
        ],
    )


@click.pass_context
def _describe(ctx: click.Context, /, images: tuple[str, ...], **params: Any) -> int:
    from segkit.reporting.describe import Description
    from segkit.reporting.describe_page import files_asked_for, write_description_files

    catalog, bases, chosen = ctx.obj
    check_flags({"resume": False, "overwrite": False, **params}, images)
    dataset: Any = completed(bases[0].recipe, chosen, params).dataset(catalog, images)
    files = files_asked_for(params["output"])
    description = Description.of(dataset)
    silent = params["quiet"] or params["as_json"]
    stopped = _look(description, dataset, silent=silent)
    try:
        # First: whoever reads the table may close the pipe.
        write_description_files(description, files)
    finally:
        if params["as_json"]:
            click.echo(json.dumps(description.to_dict(), indent=2))
        elif not params["quiet"]:
            _print(description, files)
    if stopped:
        tell_stopped(f" after {description.looked_at} of {description.total} images")
        return stopped
    return 1 if description.spoilt else 0


def _look(description: Description, dataset: Dataset, *, silent: bool) -> int:
    """Look at all images, with a bar on a terminal; the exit code if the user has stopped it."""
    from rich import progress

    from segkit.cli.console import Console

    console = Console(stderr=True)
    with progress.Progress(
        progress.TextColumn("looking at images"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        disable=silent or not console.is_terminal,
    ) as bar:
        try:
            task = bar.add_task("", total=description.total)
            for _ in description.look(dataset):
                bar.advance(task)
        except KeyboardInterrupt as error:
            return stop_code(error)
    return 0


# ---- the terminal -----------------------------------------------------------------------------


def _print(description: Description, files: Sequence[Path]) -> None:
    from segkit.cli.console import Console

    console = Console()
    console.print(description.headline)
    for table in (_classes(description), *_groups(description), _sizes(description)):
        if table is not None:
            console.print()
            console.print(table)
    if description.with_truth:
        console.print()
        console.print(f"objects: {description.how_counted}", style="dim")
    if description.unseen:
        names = ", ".join(description.unseen[:MOST]) + (
            ", …" if len(description.unseen) > MOST else ""
        )
        console.print(f"no image shows {names}", style="dim")
    _print_problems(console, description)
    for path in filter(Path.exists, files):
        console.print(f"written: {path}", soft_wrap=True)
    if not files:
        console.print("charts and pictures: add -o FILE.html", style="dim")


def _table(first: str, *numbers: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column(first, style="cyan", overflow="ellipsis", max_width=28, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _bar(part: float) -> str:
    """A bar of up to `BAR` characters; what is there at all can be seen."""
    return "█" * max(round(part * BAR), part > 0)


def _classes(description: Description) -> Table | None:
    """The classes with their images, objects and pixels; background and void below."""
    from segkit.reporting.describe import share
    from segkit.reporting.describe_page import percent

    if not description.with_truth:
        return None
    table = _table("class", "images")
    table.add_column("")
    for name in ("objects", "pixels"):
        table.add_column(name, justify="right")
    shown = description.shown
    most = max((tally.images for _, tally in shown), default=0)
    for _, tally in shown[:MOST]:
        table.add_row(
            tally.name,
            f"{tally.images:,}",
            _bar(share(tally.images, most)),
            f"{tally.objects:,}",
            percent(share(tally.pixels, description.pixels)),
        )
    if len(shown) > MOST:
        table.add_row(f"… and {len(shown) - MOST} more", "", "", "", "", style="dim")
    for name, pixels in (("background", description.background), ("void", description.void)):
        table.add_row(name, "", "", "", percent(share(pixels, description.pixels)), style="dim")
    return table


def _groups(description: Description) -> list[Table]:
    """A table for each way in which the data set sorts its images."""
    tables = []
    for heading, groups in description.groups.items():
        rows = sorted(groups.items(), key=lambda pair: (-pair[1], pair[0]))
        if not rows:
            continue
        table = _table(heading, "images")
        table.add_column("")
        for name, images in rows[:MOST]:
            table.add_row(name, f"{images:,}", _bar(images / rows[0][1]))
        if len(rows) > MOST:
            table.add_row(f"… and {len(rows) - MOST} more", "", "", style="dim")
        tables.append(table)
    return tables


def _sizes(description: Description) -> Table | None:
    """How large images are, and how many objects they show."""
    from segkit.reporting.describe import spread

    if not description.usable:
        return None
    table = _table("", "least", "median", "mean", "greatest")
    values = {"width": 0, "height": 0, "aspect": 2}
    rows = [(name, spread(description.measures[name]), places) for name, places in values.items()]
    rows.append(("objects an image", spread(description.objects), 1))
    for name, stats, places in rows:
        if stats is not None:
            whole = places < 2
            table.add_row(
                {"aspect": "width / height"}.get(name, name),
                f"{stats['min']:,.{0 if whole else 2}f}",
                f"{stats['median']:,.{places}f}",
                f"{stats['mean']:,.{places}f}",
                f"{stats['max']:,.{0 if whole else 2}f}",
            )
    return table


def _print_problems(console: Console, description: Description) -> None:
    from segkit.reporting.describe import PROBLEMS

    for problem, title in PROBLEMS.items():
        images = description.counts[problem]
        if not images:
            continue
        console.print()
        console.print(f"{images:,} image{'' if images == 1 else 's'} {title}", style="bold yellow")
        sentences = [entry.sentence for entry in description.problems if entry.problem == problem]
        for sentence in sentences[: MOST // 4]:
            console.print(f"  {sentence}")
        if images > MOST // 4:
            console.print(f"  … and {images - MOST // 4:,} more: --json names them", style="dim")
    if not description.counts:
        console.print("no problem found")
