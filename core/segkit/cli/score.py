"""`segkit score DIR`: figures of the masks that a run has kept; nothing is segmented again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segkit.cli.common import check_flags, page_of, plugin_options
from segkit.cli.options import PlanCommand, base_recipes, completed, kind_options
from segkit.cli.terminal import echo
from segkit.errors import UsageError
from segkit.kinds import BUNDLED

if TYPE_CHECKING:
    from segkit.comparing.sweep import Variant
    from segkit.plugins.catalog import Catalog
    from segkit.plugins.steps import Metric
    from segkit.running.recipe import Recipe
    from segkit.running.scoring import Scored

NAMED = 3
"""So many images without figures are named."""


class ScoreCommand(PlanCommand):
    """It starts from the data set and the metrics that the run had."""

    def bases(self, params: Mapping[str, Any]) -> list[Variant]:
        """The run's recipe, with what the flags choose."""
        from segkit.running.scoring import runs_in

        directory = params.get("directory")
        if directory is None or directory.startswith("-"):  # said when everything is read
            return super().bases(params)
        first = runs_in(Path(directory))[0]
        return base_recipes({**params, "recipe": str(first / "recipe.toml")})


def command() -> click.Command:
    """The command."""
    return ScoreCommand(
        "score",
        kinds=("dataset", "metric"),
        callback=_score,
        help="Work out figures of the masks that a run, or each recipe of a sweep, has kept: other "
        "metrics, or a truth that has arrived since. Nothing is segmented again. The figures go "
        "into results.jsonl, summary.json and the report.\n\n"
        "Examples:\n\n"
        "\b\n"
        "  segkit score out --metric boundary-iou\n"
        "  segkit score out --files.masks masks/\n",
        params=[
            click.Argument(["directory"], metavar="DIR"),
            click.Argument(["images"], nargs=-1, metavar="[IMAGE|FOLDER|GLOB]..."),
            *kind_options(("dataset", "metric")),
            *plugin_options(),
            click.Option(["--quiet"], is_flag=True, help="Print nothing but errors."),
            click.Option(["--json", "as_json"], is_flag=True, help="Print the figures as JSON."),
            click.Option(["--debug"], is_flag=True, help="Show the stack trace of errors."),
        ],
    )


@click.pass_context
def _score(ctx: click.Context, /, directory: str, images: tuple[str, ...], **params: Any) -> int:
    from segkit.running.scoring import runs_in, score_run

    catalog, bases, chosen = ctx.obj
    check_flags({"resume": False, "overwrite": False, **params}, images)
    recipe = completed(bases[0].recipe, chosen, params)
    dataset: Any = recipe.dataset(catalog, images)
    metrics = _metrics(recipe, catalog, asked=bool(params["kind_metric"]))
    folder = Path(directory)
    runs = runs_in(folder)
    found = {run.name: score_run(run, dataset, metrics, recipe.classes, catalog) for run in runs}
    alone = runs == [folder]
    page = page_of(folder)
    if params["as_json"]:
        told = {name: _told(scored) for name, scored in found.items()}
        click.echo(json.dumps(next(iter(told.values())) if alone else told, indent=2))
    elif not params["quiet"]:
        for name, scored in found.items():
            _print("" if alone else name, scored)
        if page is not None:
            echo(f"report: {page}")
    return 0


def _metrics(recipe: Recipe, catalog: Catalog, *, asked: bool) -> list[Metric]:
    """The metrics that are asked for, or all bundled ones that join in where a run's files do."""
    from segkit.running.recipe import make_step
    from segkit.running.scoring import fits

    parts = recipe.parts.get("metric", ())
    if asked:
        made: list[Any] = [make_step(catalog, "metric", p.name, p.options) for p in parts]
    else:
        entries = [entry for entry in catalog.entries("metric") if entry.distribution == BUNDLED]
        steps: list[Any] = [make_step(catalog, "metric", e.full_name, {}) for e in entries]
        made = [step for step in steps if step.joins and fits(step)]
    if not made:
        raise UsageError("there is no metric to work out; add --metric")
    return made


def _told(scored: Scored) -> dict[str, Any]:
    from segkit.running.protocols import to_dicts

    return {
        "images": scored.images,
        "scores": scored.scores,
        "figures": scored.figures,
        **({"protocol": to_dicts(scored.protocol)} if scored.protocol else {}),
        "left_out": scored.left_out,
        "notes": scored.notes,
    }


def _print(name: str, scored: Scored) -> None:
    """The figures, and what is left out."""
    from segkit.cli.console import Console
    from segkit.cli.progress import figure_table, print_protocol

    console = Console()
    many = f"{scored.images} image{'s' * (scored.images != 1)} scored"
    console.print(f"{name}: {many}" if name else many)
    console.print(figure_table(scored.figures, scored.scores))
    print_protocol(console, scored.protocol)
    for note in scored.notes:
        console.print(note)
    if scored.left_out:
        names = [*scored.left_out]
        more = " …" if len(names) > NAMED else ""
        console.print(
            f"{len(names)} image{'s' * (len(names) != 1)} left out "
            f"({', '.join(names[:NAMED])}{more}): {scored.left_out[names[0]]}",
            soft_wrap=True,
        )
