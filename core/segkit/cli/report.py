"""`segkit report DIR`: the page of a run, a sweep or a diagnosis."""

from __future__ import annotations

from pathlib import Path

import click

from segkit.errors import UsageError


def command() -> click.Command:
    """The command."""
    return click.Command(
        "report",
        callback=_report,
        help="Write DIR/report.html, one self-contained page about a run, a sweep or a diagnosis.",
        params=[
            click.Argument(["directory"], type=click.Path(path_type=Path), metavar="DIR"),
            click.Option(
                ["--figures"],
                is_flag=True,
                help="Write DIR/figures/recipes.png and .svg too: image, heatmap, overlay, a mask "
                "for each recipe and truth, side by side.",
            ),
            click.Option(
                ["--rows"],
                type=click.IntRange(1),
                metavar="N",
                help="Images in the figure: the worst, the best, the most different. [4]",
            ),
        ],
    )


def _report(directory: Path, figures: bool, rows: int | None) -> None:
    from segkit.reporting import write_report

    if rows is not None and not figures:
        raise UsageError("--rows says how many images a figure has; add --figures")
    click.echo(write_report(directory))
    if figures:
        from segkit.reporting.recipe_figure import write_figure

        for path in write_figure(directory, rows or 4):
            click.echo(path)
