"""`segkit run`: one recipe over images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from segkit.cli.common import (
    as_toml,
    check_flags,
    common_options,
    new_folder,
    page_of,
    run_options,
    save,
    watching,
    with_settings,
)
from segkit.cli.options import PlanCommand, completed, kind_options
from segkit.cli.terminal import echo


def command() -> click.Command:
    """The command."""
    return PlanCommand(
        "run",
        callback=_run,
        help="Segment images without a click: files, folders or patterns; with none, the "
        "photographs that ship with scikit-image.\n\n"
        "Examples:\n\n"
        "\b\n"
        "  segkit run photo.jpg\n"
        "  segkit run photos/ --prompt centroid-grid --gradcam.target cat\n"
        "  segkit run photos/ --gradcam.table coco --classes cat,dog,person\n"
        "  segkit run --dataset shapes --gradcam.model shapes --transform idw\n",
        params=[
            click.Argument(["images"], nargs=-1, metavar="[IMAGE|FOLDER|GLOB]..."),
            *kind_options(),
            *common_options(),
        ],
    )


@click.pass_context
def _run(ctx: click.Context, /, images: tuple[str, ...], **params: Any) -> int:
    catalog, bases, chosen = ctx.obj
    recipe = with_settings(completed(bases[0].recipe, chosen, params), params)
    check_flags(params, images)
    plan = recipe.build(catalog, images)
    if params["save"] or params["dry_run"]:
        text = as_toml(recipe, plan, catalog)
        if params["save"]:
            save(Path(params["save"]), text)
        if params["dry_run"]:
            echo(text, nl=False)
            return 0

    from segkit.cli.progress import print_summary
    from segkit.running.job import Job
    from segkit.running.session import Session

    directory = Path(params["output"]) if params["output"] else new_folder()
    with watching(params, catalog, directory) as observers:
        options = run_options(recipe, params, catalog, observers)
        summary = Session(Job({"run": plan}, directory, nested=False), options).run()["run"]
    page = page_of(directory)
    if params["as_json"]:
        click.echo(json.dumps(summary, indent=2))
    elif not params["quiet"]:
        print_summary(summary, directory, page, plan.words)
    return 1 if summary["failed"] else 0
