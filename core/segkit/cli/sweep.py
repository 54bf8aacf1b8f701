"""`segkit sweep`: many recipes on one data set, and which of them is better."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from segkit.cli.options import PlanCommand, grid, kind_options, split
from segkit.cli.recipe_flag import recipe_option
from segkit.cli.terminal import echo
from segkit.errors import UsageError

if TYPE_CHECKING:
    from segkit.comparing.sweep import Built
    from segkit.running.recipe import Recipe


def command() -> click.Command:
    """The command."""
    return PlanCommand(
        "sweep",
        grid=True,
        callback=_sweep,
        help="Compare recipes on one data set in one run. Lists in flags make a grid, and "
        "--recipe repeats; combinations that do not fit together are left out and named. What "
        "recipes have in common is computed once.\n\n"
        "Examples:\n\n"
        "\b\n"
        "  segkit sweep --dataset shapes --prompt maxmin,topk,centroid-grid\n"
        "  segkit sweep photos/ --files.masks masks/ --transform none,idw --topk.k 1,3\n"
        "  segkit sweep --dataset pets --recipe a.toml --recipe b.toml --sort dice\n"
        "  segkit sweep --dataset shapes --prompt random-clicks,topk --seeds 0,1,2\n",
        params=[
            click.Argument(["images"], nargs=-1, metavar="[IMAGE|FOLDER|GLOB]..."),
            *kind_options(),
            *sweep_options(),
            click.Option(
                ["--seeds"],
                metavar="A,B…",
                help="Sweep once for each of these seeds, of the steps and of generated pictures; "
                "figures are means over them, with their spread.",
            ),
        ],
    )


def sweep_options() -> list[click.Option]:
    """The common flags as a grid takes them."""
    changed = {
        "recipe": recipe_option(several=True),
        "rounds": click.Option(
            ["--rounds"],
            metavar="N",
            help="Rounds of segmentation, where a prompter takes a second look. [3]",
        ),
        "save": click.Option(
            ["--save"], metavar="DIR", help="Write each recipe, all defaults written out."
        ),
        "as_json": click.Option(
            ["--json", "as_json"], is_flag=True, help="Print the leaderboard as JSON."
        ),
    }
    sort = click.Option(["--sort"], metavar="METRIC", help="Best first by. [iou]")
    return [sort, *(changed.get(o.name or "", o) for o in common_options())]


@dataclass(frozen=True)
class Asked:
    """What the flags of a grid come to."""

    built: Built
    first: Recipe
    """Where the seed and the class names come from, which all recipes have in common."""


def asked_for(ctx: click.Context, images: tuple[str, ...], params: Mapping[str, Any]) -> Asked:
    """Every recipe of the grid as a plan. Raises `UsageError` where they need different seeds."""
    from dataclasses import replace

    from segkit.comparing.sweep import build_all

    catalog, bases, _ = ctx.obj
    check_flags(params, images)
    variants = [
        replace(
            v, recipe=with_settings(v.recipe, {**params, **rounds}), options={**v.options, **label}
        )
        for v in grid(bases, catalog, params)
        for rounds, label in _rounds(params["rounds"])
    ]
    first = variants[0].recipe
    for name, flag in (("seed", "--seed N"), ("classes", "--classes A,B")):
        if any(getattr(v.recipe, name) != getattr(first, name) for v in variants):
            raise UsageError(f"the recipes have different {name}; give {flag} for all of them")
    return Asked(build_all(variants, catalog, images), first)


def _rounds(text: str | None) -> list[tuple[dict[str, int], dict[str, str]]]:
    """Each of the --rounds that are given, and how a recipe's options name it."""
    if text is None:
        return [({}, {})]
    numbers = split(text, "--rounds")
    for number in numbers:
        if not number.isdecimal() or int(number) < 1:
            raise UsageError(f"--rounds should be whole numbers from 1, but has '{number}'")
    return [({"rounds": int(number)}, {".rounds": number}) for number in numbers]


@click.pass_context
def _sweep(ctx: click.Context, /, images: tuple[str, ...], **params: Any) -> int:
    from segkit.cli.tables import print_leaderboard
    from segkit.comparing.sweep import sweep_plans

    if params["seeds"] is None:
        return run_grid(ctx, images, params, sweep_plans, print_leaderboard)
    from segkit.comparing.seeds import sweep_seeds

    seeds = _seeds(params["seeds"], params["seed"])
    work = partial(sweep_seeds, seeds=seeds)
    return run_grid(ctx, images, {**params, "seed": seeds[0]}, work, print_leaderboard)


def _seeds(text: str, single: int | None) -> list[int]:
    """The numbers that --seeds holds, two or more. Raises `UsageError` for others."""
    from segkit.comparing.seeds import check_seeds

    if single is not None:
        raise UsageError(
            f"--seed {single} and --seeds {text} are both given; leave out one of them"
        )
    numbers = split(text, "--seeds")
    wrong = next((n for n in numbers if not n.isdecimal()), None)
    if wrong is not None:
        raise UsageError(f"--seeds should be whole numbers such as 0,1,2, but has '{wrong}'")
    seeds = [int(number) for number in numbers]
    check_seeds(seeds)
    return seeds


def run_grid(
    ctx: click.Context,
    images: tuple[str, ...],
    params: Mapping[str, Any],
    work: Callable[..., Any],
    show: Callable[[Any, Path, Path | None], None],
) -> int:
    """Do the `work` on the grid's plans and `show` what it made; the exit code.

    What it makes is a `Leaderboard` or a `Diagnosis`: it has `to_dict()` and `failed`.
    """
    from segkit.comparing.sweep import Shown, check_figure

    catalog = ctx.obj[0]
    asked = asked_for(ctx, images, params)
    built = asked.built
    if params["sort"]:
        check_figure(built.plans, params["sort"])
    if params["save"] or params["dry_run"]:
        for name, plan in built.plans.items():
            if params["save"]:
                save(Path(params["save"], f"{name}.toml"), as_toml(asked.first, plan, catalog))
            if params["dry_run"]:
                echo(f"{name}: {plan.words}")
        if params["dry_run"]:
            for skipped in built.skipped:
                echo(f"left out: {skipped['recipe']}: {skipped['reason']}")
            return 0
    directory = Path(params["output"]) if params["output"] else new_folder()
    with watching(params, catalog, directory) as observers:
        options = run_options(asked.first, params, catalog, observers)
        shown = Shown(params["sort"], built.options, built.skipped)
        result = work(built.plans, directory, options, shown)
    page = page_of(directory)
    if params["as_json"]:
        click.echo(json.dumps(result.to_dict(), indent=2))
    elif not params["quiet"]:
        show(result, directory, page)
    return 1 if result.failed else 0
