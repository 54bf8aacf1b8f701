"""`segkit merge DIR DIR … -o DIR`: runs of shards as one run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from segkit.cli.common import page_of, plugin_options
from segkit.cli.terminal import echo
from segkit.errors import UsageError

if TYPE_CHECKING:
    from segkit.running.merge import Merged

RUN = "run"
"""What the summary of a run of one recipe is called."""


def command() -> click.Command:
    """The command."""
    return click.Command(
        "merge",
        callback=_merge,
        help="Make one run of the runs of shards (--shard I/N), as a single run over all images "
        "leaves it: masks, lines, figures, exports, report. Sweeps and diagnoses of shards "
        "likewise. The shards' folders are only read. What is missing or there twice is told; "
        "segkit run --resume on the new folder, without --shard, does what is missing.\n\n"
        "Example:\n\n"
        "\b\n"
        "  segkit run photos/ --shard 1/2 -o part-1\n"
        "  segkit run photos/ --shard 2/2 -o part-2\n"
        "  segkit merge part-1 part-2 -o labels\n",
        params=[
            click.Argument(
                ["directories"], nargs=-1, metavar="DIR...", type=click.Path(path_type=Path)
            ),
            click.Option(["-o", "--output"], metavar="DIR", help="The new run's folder."),
            click.Option(["--overwrite"], is_flag=True, help="Replace a run that is there."),
            *plugin_options(),
            click.Option(["--quiet"], is_flag=True, help="Print nothing but errors."),
            click.Option(["--json", "as_json"], is_flag=True, help="Print the summary as JSON."),
            click.Option(["--debug"], is_flag=True, help="Show the stack trace of errors."),
        ],
    )


def _merge(
    directories: tuple[Path, ...],
    output: str | None,
    overwrite: bool,
    plugin: tuple[str, ...],
    only: tuple[str, ...],
    quiet: bool,
    as_json: bool,
    debug: bool,
) -> int:
    from segkit.cli.main import make_catalog
    from segkit.comparing.merged import merge_shards

    if not output:
        raise UsageError("merge needs a folder for the one run; add -o DIR")
    directory = Path(output)
    catalog = make_catalog(plugin, only)
    merged = merge_shards(directories, directory, overwrite=overwrite, catalog=catalog)
    for note in merged.notes:
        echo(f"Warning: {note}", err=True)
    page = page_of(directory)
    if as_json:
        told = merged.summaries
        click.echo(json.dumps(told.get(RUN, told), indent=2))
    elif not quiet:
        _print(merged, directory, page)
    failed = any(summary["failed"] for summary in merged.summaries.values())
    return 1 if failed or not merged.whole else 0


def _print(merged: Merged, directory: Path, page: Path | None) -> None:
    """How much there is of each recipe, and where."""
    for recipe, summary in merged.summaries.items():
        failed = f", {summary['failed']} failed" * bool(summary["failed"])
        plural = "" if summary["images"] == 1 else "s"
        head = "" if recipe == RUN else f"{recipe}: "
        scores = "  ".join(f"{name} {value:.4g}" for name, value in summary["scores"].items())
        echo(f"{head}{summary['images']} image{plural}{failed}" + f" · {scores}" * bool(scores))
    echo(f"merged: {directory}")
    if page is not None:
        echo(f"report: {page}")
