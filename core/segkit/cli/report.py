"""`segkit report DIR`: the page of a run, a sweep or a diagnosis."""

from __future__ import annotations

from pathlib import Path

import click

from segkit.cli.options import split
from segkit.cli.terminal import echo
from segkit.errors import UsageError


def command() -> click.Command:
    """The command."""
    return click.Command(
        "report",
        callback=_report,
        help="Write DIR/report.html, one self-contained page about a run, a sweep or a diagnosis; "
        "with --figures and --tables what a paper takes from it.\n\n"
        "Example:  segkit report DIR --figures --tables --columns iou,boundary-iou",
        params=[
            click.Argument(["directory"], type=click.Path(path_type=Path), metavar="DIR"),
            click.Option(
                ["--figures"],
                is_flag=True,
                help="Write DIR/figures too: every chart, and pictures of each recipe side by side "
                "(recipes), as SVG, PDF and PNG.",
            ),
            click.Option(
                ["--image"],
                multiple=True,
                metavar="NAME",
                help="An image in the figure of pictures; repeats. [see --rows]",
            ),
            click.Option(
                ["--rows"],
                type=click.IntRange(1),
                metavar="N",
                help="Images in the figure of pictures: the worst, the best, the most different. "
                "[4]",
            ),
            click.Option(
                ["--tables"],
                is_flag=True,
                help="Write DIR/tables too: leaderboard and pairs as LaTeX, Markdown and CSV, each "
                "image's figures as CSV, and BibTeX of the methods that were used.",
            ),
            click.Option(
                ["--columns"],
                metavar="A,B",
                help="Figures in the tables of LaTeX and Markdown. [the first four]",
            ),
        ],
    )


def _report(
    directory: Path,
    figures: bool,
    image: tuple[str, ...],
    rows: int | None,
    tables: bool,
    columns: str | None,
) -> None:
    from segkit.reporting import write_report

    if rows is not None and not figures:
        raise UsageError("--rows says how many images a figure has; add --figures")
    if image and not figures:
        raise UsageError("--image says which images a figure has; add --figures")
    if image and rows is not None:
        raise UsageError("--image names the images and --rows how many; leave out one of them")
    if columns is not None and not tables:
        raise UsageError("--columns says which figures tables have; add --tables")
    echo(write_report(directory))
    if figures:
        from segkit.reporting.paper import write_figures

        for path in write_figures(directory, rows=rows or 4, images=image):
            echo(path)
    if tables:
        from segkit.reporting.paper import write_tables

        for path in write_tables(directory, columns=split(columns, "--columns") if columns else ()):
            echo(path)
