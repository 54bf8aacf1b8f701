"""`segkit export DIR --write FORMAT`: a finished run in another format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from segkit.cli.common import common_options
from segkit.cli.options import PlanCommand, completed, kind_options
from segkit.cli.terminal import echo
from segkit.errors import UsageError

SHARED = ("least_quality", "split", "plugin", "only", "quiet", "debug")
"""The flags of `segkit run` that it takes."""


def command() -> click.Command:
    """The command."""
    return PlanCommand(
        "export",
        kinds=("writer",),
        callback=_export,
        help="Write the masks of a finished run in another format, into its folder. Nothing is "
        "segmented again. With --reviewed those masks alone that were decided about so in segkit "
        "review, into DIR/reviewed, which is then a run of its own.\n\n"
        "Examples:\n\n"
        "\b\n"
        "  segkit export labels --write coco\n"
        "  segkit export labels --write yolo --split 0.8\n"
        "  segkit export labels --write coco --reviewed keep,corrected\n"
        "  segkit export labels --write coco --least-quality 0.6\n",
        params=[
            click.Argument(["directory"], type=click.Path(path_type=Path), metavar="DIR"),
            *kind_options(("writer",)),
            click.Option(
                ["--reviewed"],
                metavar="A,B",
                help="Only masks that were decided about so: keep, corrected, reject. [all masks]",
            ),
            *(option for option in common_options() if option.name in SHARED),
        ],
    )


@click.pass_context
def _export(ctx: click.Context, /, directory: Path, reviewed: str | None, **params: Any) -> int:
    from segkit.running.export import export
    from segkit.running.notes import left_out_note
    from segkit.running.recipe import make_step
    from segkit.running.review import decisions_named
    from segkit.running.reviewed import FOLDER, export_reviewed

    catalog, bases, chosen = ctx.obj
    parts = completed(bases[0].recipe, chosen, params).parts.get("writer", ())
    if not parts:
        raise UsageError("export needs a format; add --write, such as --write coco")
    writers: Any = [make_step(catalog, "writer", part.name, part.options) for part in parts]
    least = params["least_quality"] or 0.0
    if reviewed is None:
        done = export(directory, writers, catalog, least_quality=least)
    else:
        wanted = decisions_named(reviewed)
        done = export_reviewed(directory, writers, catalog, wanted, least_quality=least)
        directory = directory / FOLDER
    for sentence in done.failed.values():
        echo(f"failed: {sentence}", err=True)
    if not params["quiet"]:
        folders = ", ".join(str(directory / writer.name) for writer in writers)
        plural = "" if done.images == 1 else "s"
        echo(f"{done.images} image{plural} exported: {folders}")
        if done.left_out:
            echo(left_out_note(done.left_out, least))
    return 1 if done.failed else 0
