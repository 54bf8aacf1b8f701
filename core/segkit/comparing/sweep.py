"""Many recipes on one data set in one run: `sweep`.

Recipes that begin alike share their beginning (see `segkit.running.graph`), so comparing nine
prompt strategies costs little more than running one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from segkit.comparing.earlier import Earlier, earlier_recipes
from segkit.comparing.leaderboard import Leaderboard, make_leaderboard
from segkit.errors import PlanError, UsageError
from segkit.kinds import IN_RECIPES
from segkit.plugins.catalog import Catalog
from segkit.plugins.figures import claims_of, figure_of, metric_of
from segkit.running.folder import disk_error
from segkit.running.job import Job
from segkit.running.ledger import noted_files
from segkit.running.lock import owned
from segkit.running.options import RunOptions
from segkit.running.plan import Plan
from segkit.running.protocols import read_protocols, reads_truth, told_apart
from segkit.running.recipe import Recipe
from segkit.running.recipe_record import comparable
from segkit.running.session import Session
from segkit.values.files import write_file
from segkit.values.image_names import distinct

HEATMAP_MAKERS = ("saliency", "transform")
"""The kinds that a recipe drops if nothing in it reads heatmaps."""


FILES = ("leaderboard.json", "leaderboard.csv")
"""What stands beside the recipes' folders."""

LONGEST = 80
"""Letters of a recipe's name, which is also its folder's."""


@dataclass(frozen=True)
class Variant:
    """A recipe of a grid, and what tells it from the others."""

    recipe: Recipe
    options: Mapping[str, str] = field(default_factory=dict)
    """Axis to value: `recipe` (a file), a kind of step, an option such as `topk.k`, `.rounds`."""


@dataclass(frozen=True)
class Built:
    """The plans of a grid, by name."""

    plans: Mapping[str, Plan]
    options: Mapping[str, Mapping[str, str]]
    """For each plan the axes that it has."""
    skipped: Sequence[Mapping[str, str]]
    """`recipe` and `reason` of combinations that make no plan, or the same one as another."""


def build_all(variants: Iterable[Variant], catalog: Catalog, images: Sequence[str] = ()) -> Built:
    """Make plans of a grid's recipes; combinations that do not fit together are left out.

    A recipe in which nothing reads heatmaps loses its saliency and transforms. Raises `UsageError`
    as `Recipe.build` does, and if no combination is left.
    """
    variants = list(variants)
    kept: list[tuple[Plan, dict[str, str]]] = []
    skipped: list[tuple[str, str | dict[str, str]]] = []
    seen: dict[str, dict[str, str]] = {}
    for variant, asked in zip(variants, _names([v.options for v in variants]), strict=True):
        options = dict(variant.options)
        try:
            plan = variant.recipe.build(catalog, images)
        except PlanError as error:
            if error.unread != "heatmap":
                skipped.append((asked, str(error)))
                continue
            parts = {**variant.recipe.parts, **dict.fromkeys(HEATMAP_MAKERS, ())}
            try:
                plan = replace(variant.recipe, parts=parts).build(catalog, images)
            except PlanError as other:
                skipped.append((asked, str(other)))
                continue
            used = {step.name for step in plan.steps}
            options = {
                axis: value
                for axis, value in options.items()
                if axis not in HEATMAP_MAKERS and ("." not in axis or axis.split(".")[0] in used)
            }
        key = _key(plan)
        if key in seen:
            skipped.append((asked, seen[key]))
        else:
            seen[key] = options
            kept.append((plan, options))
    if not kept:
        raise UsageError(f"none of the recipes can be run: {skipped[0][1]}" if skipped else _EMPTY)
    names = _names([options for _, options in kept])
    same = {id(options): name for (_, options), name in zip(kept, names, strict=True)}
    return Built(
        {name: plan for (plan, _), name in zip(kept, names, strict=True)},
        {name: options for (_, options), name in zip(kept, names, strict=True)},
        [
            {
                "recipe": asked,
                "reason": r if isinstance(r, str) else f"the same as {same[id(r)]}",
            }
            for asked, r in skipped
        ],
    )


_EMPTY = "there is nothing to compare; name some recipes"


@dataclass(frozen=True)
class Shown:
    """What a comparison is to show beside the figures."""

    sort_by: str | None = None
    """The figure that orders it; None: the first one."""
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Recipe to the axes in which it differs from the others, such as `{"prompt": "topk"}`."""
    skipped: Sequence[Mapping[str, str]] = ()
    """Recipes that take no part, each with `recipe` and `reason`."""


def sweep_plans(
    plans: Mapping[str, Plan],
    directory: Path,
    options: RunOptions | None = None,
    shown: Shown | None = None,
) -> Leaderboard:
    """Run the plans over their data set and compare them.

    DIR/recipes/NAME is each plan's folder, as `run` makes it; DIR/leaderboard.json and .csv hold
    the comparison. Raises `UsageError` and `SegkitError` as `Session.run` does.
    """
    options, shown = options or RunOptions(), shown or Shown()
    with owned(directory):
        plans, shown = resumed(plans, directory, options, shown)
        return compare(Job(plans, directory, nested=True, files=FILES), options, shown)


def resumed(
    plans: Mapping[str, Plan], directory: Path, options: RunOptions, shown: Shown
) -> tuple[Mapping[str, Plan], Shown]:
    """The plans under the names that their folders have, if there is a run to go on with.

    Raises `UsageError` where no metric of theirs gives the figure that orders them.
    """
    if shown.sort_by is not None:
        check_figure(plans, shown.sort_by)
    if not options.resume:
        return plans, shown
    names = as_before(plans, directory, options)
    labels = {names[name]: label for name, label in shown.labels.items() if name in names}
    return {names[name]: plan for name, plan in plans.items()}, replace(shown, labels=labels)


def compare(job: Job, options: RunOptions, shown: Shown) -> Leaderboard:
    """Run a job whose recipes have folders of their own, and compare them.

    Where a sweep goes on, the recipes that it had and that are not named now are compared too.
    """
    plans, directory = job.plans, job.directory
    Session(job, options).run()
    results, there = job.results(), Earlier()
    if options.resume and not options.overwrite and job.needs is None:
        there = earlier_recipes(job, options, results)
    board = make_leaderboard(
        {**results, **there.lines},
        {**{name: plan.metrics for name, plan in plans.items()}, **there.metrics},
        sort_by=shown.sort_by,
        options={**there.labels, **shown.labels},
        words={**there.words, **{name: plan.words for name, plan in plans.items()}},
        skipped=[*shown.skipped, *there.skipped],
        protocols={name: read_protocols(job.folder(name)) for name in (*plans, *there.lines)},
        seed=options.seed,
    )
    try:
        if job.needs is None and "diagnosis.json" in noted_files(directory):
            # A diagnosis of other recipes would stand beside these.
            (directory / "diagnosis.json").unlink(missing_ok=True)
    except OSError as error:
        raise disk_error(error, directory, board.images) from error
    write_leaderboard(directory, board)
    return board


def write_leaderboard(directory: Path, board: Leaderboard) -> None:
    """Write leaderboard.json and .csv. Raises `SegkitError` where the disk refuses."""
    try:
        write_file(directory / "leaderboard.json", json.dumps(board.to_dict(), indent=2) + "\n")
        write_file(directory / "leaderboard.csv", board.to_csv())
    except OSError as error:
        raise disk_error(error, directory, board.images) from error


def as_before(plans: Mapping[str, Plan], directory: Path, options: RunOptions) -> dict[str, str]:
    """For each plan its folder's name so far, or a new one: a grid that grows renames recipes."""
    before = {}
    for path in sorted(directory.glob("recipes/*/recipe.toml")):
        with suppress(UsageError):
            before[path.parent.name] = comparable(Recipe.load(path))
    names: dict[str, str] = {}
    for name, plan in plans.items():
        now = comparable(Recipe.from_dict(options.content(plan)))
        same = [old for old, recipe in before.items() if recipe == now]
        same = [old for old in same if old not in names.values()]
        names[name] = name if name in same else next(iter(same), "")
    new = [name for name, known in names.items() if not known]
    taken = [known for known in names.values() if known] + list(before)
    names |= dict(zip(new, distinct([*taken, *new])[len(taken) :], strict=True))
    return names


def check_figure(plans: Mapping[str, Plan], name: str) -> None:
    """Refuse a figure that no metric of the plans makes, before anything is run.

    So is one that tells classes apart, where only some of the plans are told those of each image.
    """
    metrics = [metric for plan in plans.values() for metric in plan.metrics]
    apart = told_apart({own: reads_truth(plan.steps) for own, plan in plans.items()})
    if apart and figure_of(metrics, name).background is not None:
        raise UsageError(
            f"--sort {name}: '{apart[0]}' is told which classes each image shows and '{apart[1]}' "
            f"is not, so they do not compare by {name}; sort by another figure, such as iou, or "
            "run them apart"
        )
    if metrics and metric_of(metrics, name) is None:
        known = dict.fromkeys(figure for metric in metrics for figure in claims_of(metric))
        raise UsageError(
            f"--sort {name}: none of the metrics gives it; there is {', '.join(known)}"
        )


def _key(plan: Plan) -> str:
    """What makes two plans the same."""
    steps = [*plan.steps, plan.dataset]
    groups = [[p.key() for p in group] for group in plan.prompters]
    return json.dumps(
        [[s.key() for s in steps], groups, plan.refines and plan.rounds, repr(plan.tiles)]
    )


def _short(name: str) -> str:
    """A name that a file system takes: a long one is cut, and told apart by a hash."""
    if len(name) <= LONGEST:
        return name
    return f"{name[:LONGEST]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _names(options: Sequence[Mapping[str, str]]) -> list[str]:
    """A name for each plan, from the axes that differ; safe as a folder's."""
    values: dict[str, set[str]] = {}
    for axis in dict.fromkeys(a for axes in options for a in axes):
        values[axis] = {axes[axis] for axes in options if axis in axes}
    kinds = ["recipe", *IN_RECIPES]
    order = sorted(values, key=lambda axis: kinds.index(axis) if axis in kinds else len(kinds))
    differing = [axis for axis in order if len(values[axis]) > 1]
    short = {axis: axis.rpartition(".")[2] for axis in differing}
    names = []
    for axes in options:
        parts = []
        for axis in differing:
            value = axes.get(axis)
            if value is None or (value == "none" and "." not in axis):
                continue
            clear = list(short.values()).count(short[axis]) == 1
            parts.append(f"{short[axis] if clear else axis}={value}" if "." in axis else value)
        fallback = axes.get("recipe") or axes.get("prompt") or "recipe"
        names.append(_short(re.sub(r"[^\w.=+,-]+", "_", "-".join(parts) or fallback)))
    return list(distinct(names))
