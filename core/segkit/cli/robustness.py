"""`segkit robustness`: what recipes bear."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segkit.cli.completion import PluginName
from segkit.cli.options import (
    Chosen,
    PlanCommand,
    given_to,
    kind_options,
    split,
)
from segkit.cli.sweep import run_grid, sweep_options
from segkit.cli.terminal import echo
from segkit.kinds import KINDS

if TYPE_CHECKING:
    from segkit.comparing.robustness_records import Robustness
    from segkit.comparing.sweep import Shown
    from segkit.plugins.catalog import Catalog
    from segkit.running.options import RunOptions
    from segkit.running.plan import Plan


class _Command(PlanCommand):
    """Perturbations are no part of a recipe, but their options are flags."""

    def beside(self, params: Mapping[str, Any], catalog: Catalog) -> list[Chosen]:
        chosen = {}
        from segkit.comparing.damage import perturbations_named

        texts = params.get("kind_perturbation") or ()
        names = [part for text in texts for part in split(text, "--perturb")]
        for name in perturbations_named(names, catalog):
            step = catalog.load("perturbation", name)
            chosen[step] = Chosen("perturbation", step.name, step)
        return list(chosen.values())


def command() -> click.Command:
    """The command."""
    damage = KINDS["perturbation"]
    changed = {
        "sort": click.Option(
            ["--sort"],
            metavar="METRIC",
            help="The figure of the curves. [the first --metric, or iou]",
        ),
        "as_json": click.Option(
            ["--json", "as_json"], is_flag=True, help="Print the curves as JSON."
        ),
    }
    return _Command(
        "robustness",
        grid=True,
        callback=_robustness,
        help="Say what recipes bear: their figures under damage to images (noise, blur, contrast, "
        "brightness, occlusion …) or to prompts, at levels that rise from none; and where along "
        "the chain it begins: how far the heatmap drifts, how far the prompts move, what the mask "
        "loses. The flags are those of segkit sweep; all recipes see the same damage. Without "
        "truth, masks are compared with those of the undamaged images.\n\n"
        "Examples:\n\n"
        "\b\n"
        "  segkit robustness --dataset shapes --gradcam.model shapes\n"
        "  segkit robustness photos/ --perturb haze,motion-blur --haze.density 0.5\n"
        "  segkit robustness --dataset pets --perturb all --levels 6 \\\n"
        "    --recipe a.toml --recipe b.toml\n",
        params=[
            click.Argument(["images"], nargs=-1, metavar="[IMAGE|FOLDER|GLOB]..."),
            *kind_options(),
            click.Option(
                ["--perturb", "kind_perturbation"],
                type=PluginName("perturbation"),
                multiple=True,
                metavar="NAME",
                help=f"{damage.help} Default: {', '.join(damage.defaults)}.",
            ),
            click.Option(
                ["--levels"],
                type=click.IntRange(1, 50),
                default=4,
                metavar="N",
                help="Levels of damage, beside none. [4]",
            ),
            *(changed.get(o.name or "", o) for o in sweep_options()),
        ],
    )


@click.pass_context
def _robustness(ctx: click.Context, /, images: tuple[str, ...], **params: Any) -> int:
    from segkit.cli.tables import print_robustness
    from segkit.running.recipe import make_step

    catalog, _, chosen = ctx.obj
    steps = []
    for choice in chosen:
        if choice.kind == "perturbation":
            entry = catalog.origin(choice.step)
            name = entry.full_name if entry else choice.name
            steps.append(make_step(catalog, "perturbation", name, given_to(choice, params)))
    metrics = [metric for text in params["kind_metric"] for metric in split(text, "--metric")]
    if metrics and metrics[0] != "none" and not params["sort"]:
        params["sort"] = metrics[0].rpartition(":")[2]
    damage = {"perturbations": steps, "levels": params["levels"]}
    return run_grid(ctx, images, params, partial(_examined, damage), print_robustness)


def _examined(
    damage: Mapping[str, Any],
    plans: Mapping[str, Plan],
    directory: Path,
    options: RunOptions,
    shown: Shown,
) -> Robustness:
    """The result; what failed under damage is told, as failed images are while they are run."""
    from segkit.comparing.damaged_run import examine_plans

    robustness = examine_plans(plans, directory, options, shown, **damage)
    for failure in robustness.failed:
        if failure.level:
            place = f"{failure.image} under {failure.perturbation}, level {failure.level}"
            echo(f"failed: {place} ({failure.recipe}): {failure.error}", err=True)
    return robustness
