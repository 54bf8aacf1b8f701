"""`segkit diagnose`: where recipes lose their IoU."""

from __future__ import annotations

from typing import Any

import click

from segkit.cli.options import PlanCommand, kind_options
from segkit.cli.sweep import run_grid, sweep_options


def command() -> click.Command:
    """The command."""
    return PlanCommand(
        "diagnose",
        grid=True,
        callback=_diagnose,
        help="Say where the IoU was lost, for each recipe and image: to the selection of the "
        "mask, to the prompt (the saliency, or the placement of clicks), or to the segmenter. The "
        "flags are those of segkit sweep. The data set needs truth.\n\n"
        "Example:\n\n"
        "\b\n"
        "  segkit diagnose --dataset shapes --gradcam.model shapes --prompt maxmin,topk\n",
        params=[
            click.Argument(["images"], nargs=-1, metavar="[IMAGE|FOLDER|GLOB]..."),
            *kind_options(),
            *sweep_options(),
        ],
    )


@click.pass_context
def _diagnose(ctx: click.Context, /, images: tuple[str, ...], **params: Any) -> int:
    from segkit.cli.tables import print_diagnosis
    from segkit.comparing.diagnosis import diagnose_plans

    return run_grid(ctx, images, params, diagnose_plans, print_diagnosis)
