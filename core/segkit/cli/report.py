"""`segkit report DIR`: the page of a run, a sweep or a diagnosis."""

from __future__ import annotations

from pathlib import Path

import click


def command() -> click.Command:
    """The command."""
    return click.Command(
        "report",
        callback=_report,
        help="Write DIR/report.html, one self-contained page about a run, a sweep or a diagnosis.",
        params=[
            click.Argument(["directory"], type=click.Path(path_type=Path), metavar="DIR"),
        ],
    )


def _report(directory: Path) -> None:
    from segkit.reporting import write_report

    click.echo(write_report(directory))
