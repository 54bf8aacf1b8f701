"""Recipes under several seeds: `sweep --seeds 0,1,2`.

A seed is what the steps draw from and, where the data set draws its pictures, what those come from:
the data set's own option `seed` plus this one, so that seed 0 has the pictures of a sweep without
`--seeds`. The first seed's sweep stands in DIR itself, those of the others in DIR/seeds/SEED; a
recipe in which nothing is drawn, on pictures that stay the same, is run for the first alone. What
DIR/leaderboard.json holds is made of all of them, with figures as means over seeds (see
`segkit.comparing.statistics`).
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from segkit.comparing.leaderboard import (
    Leaderboard,
    common_images,
    failed_in,
    ranked,
    seconds_of,
)
from segkit.comparing.records import Row, Spread
from segkit.comparing.statistics import Bootstrap, SeedBootstrap, estimates
from segkit.comparing.sweep import FILES, Shown, compare, resumed, write_leaderboard
from segkit.errors import UsageError
from segkit.plugins.contract import MADE, blamed
from segkit.plugins.steps import Dataset, Metric, Step
from segkit.running.folder import check
from segkit.running.job import Job
from segkit.running.ledger import is_run
from segkit.running.lock import owned
from segkit.running.options import RunOptions
from segkit.running.owned import remove_run
from segkit.running.plan import Plan
from segkit.running.protocols import Protocols, read_protocols
from segkit.running.records import Lines

FOLDER = "seeds"
"""Where the sweeps of all seeds but the first stand."""

SEED = "seed"
"""The option of a data set that draws its pictures."""


def sweep_seeds(
    plans: Mapping[str, Plan],
    directory: Path,
    options: RunOptions | None = None,
    shown: Shown | None = None,
    *,
    seeds: Sequence[int],
) -> Leaderboard:
    """Run the plans under each seed and compare them by their means over seeds.

    `seeds` are two or more, none twice; that of `options` takes no part. DIR is what `sweep_plans`
    makes of it under the first seed, DIR/seeds/SEED the same for each other one.

    Raises `UsageError` where neither the data set nor any step draws, and what `sweep_plans` does.
    """
    check_seeds(seeds)
    options, shown = replace(options or RunOptions(), seed=seeds[0]), shown or Shown()
    drawn_data = SEED in type(next(iter(plans.values())).dataset).model_fields
    if not drawn_data and not any(map(draws, plans.values())):
        raise UsageError(
            f"--seeds {','.join(map(str, seeds))}: neither the data set nor a step of the recipes "
            "draws at random, so every seed would give the same; leave out --seeds"
        )
    with owned(directory):
        return _sweep_seeds(plans, directory, options, shown, seeds, drawn_data=drawn_data)


def _sweep_seeds(
    plans: Mapping[str, Plan],
    directory: Path,
    options: RunOptions,
    shown: Shown,
    seeds: Sequence[int],
    *,
    drawn_data: bool,
) -> Leaderboard:
    plans, shown = resumed(plans, directory, options, shown)
    folders = {
        seed: directory if place == 0 else directory / FOLDER / str(seed)
        for place, seed in enumerate(seeds)
    }
    for folder in folders.values():  # before the first of them is begun
        check(folder, resume=options.resume, overwrite=options.overwrite)
    jobs: dict[int, Job] = {}
    for seed, folder in folders.items():
        repeated = seed == seeds[0] or drawn_data
        own = {name: _under(plan, seed) for name, plan in plans.items() if repeated or draws(plan)}
        jobs[seed] = Job(own, folder, nested=True, files=FILES)
        compare(jobs[seed], replace(options, seed=seed), shown)
        if seed == seeds[0] and options.overwrite:
            _remove_others(directory, {*folders.values()})
    first = jobs[seeds[0]].results()
    board = make_seed_leaderboard(
        {seed: {**first, **job.results()} for seed, job in jobs.items()},
        {name: plan.metrics for name, plan in plans.items()},
        shown=shown,
        words={name: plan.words for name, plan in plans.items()},
        same_images=not drawn_data,
        protocols={name: read_protocols(jobs[seeds[0]].folder(name)) for name in plans},
    )
    write_leaderboard(directory, board)
    return board


def check_seeds(seeds: Sequence[int]) -> None:
    """Raise `UsageError` for what is no seed, for one that is there twice, and for a single one."""
    if isinstance(seeds, str) or not isinstance(seeds, Sequence):
        raise UsageError(f"seeds should be whole numbers such as [0, 1, 2], but are {seeds!r}")
    wrong = next((s for s in seeds if not isinstance(s, int) or isinstance(s, bool) or s < 0), None)
    text = ",".join(map(str, seeds))
    if wrong is not None:
        raise UsageError(f"--seeds should be whole numbers such as 0,1,2, but has '{wrong}'")
    twice = next((seed for seed in seeds if seeds.count(seed) > 1), None)
    if twice is not None:
        raise UsageError(f"--seeds {text} has {twice} twice; name each seed once")
    if len(seeds) < 2:
        raise UsageError(f"--seeds {text} is one seed; name two or more, or write --seed {text}")


def draws(plan: Plan) -> bool:
    """Whether a step of the plan asks for randomness."""
    return any("rng" in type(step).inputs_of(m).all for step in plan.steps for m in _methods(step))


def _methods(step: Step) -> list[str]:
    """The methods of a step that ask for inputs."""
    cls = type(step)
    return [cls.work, *(method for method in cls.extras if hasattr(cls, method))]


def _under(plan: Plan, seed: int) -> Plan:
    """The plan with the data set's pictures of this seed, if it draws them."""
    dataset = plan.dataset
    own = getattr(dataset, SEED, None) if SEED in type(dataset).model_fields else None
    if not isinstance(own, int):
        return plan
    with blamed(dataset, MADE):
        other: Dataset = type(dataset)(**{**dataset.model_dump(), SEED: own + seed})
    return replace(plan, dataset=other)


def _remove_others(directory: Path, kept: set[Path]) -> None:
    """Remove the runs of seeds that take no part any more."""
    for folder in directory.glob(f"{FOLDER}/*"):
        if folder not in kept and is_run(folder):
            remove_run(folder)


def make_seed_leaderboard(
    results: Mapping[int, Mapping[str, Lines]],
    metrics: Mapping[str, Sequence[Metric]],
    *,
    shown: Shown | None = None,
    words: Mapping[str, str] | None = None,
    same_images: bool,
    protocols: Mapping[str, Protocols] | None = None,
) -> Leaderboard:
    """Compare recipes by their means over seeds: `results` are seed to recipe to lines by image.

    `same_images`: whether the images are the same under every seed. Then only those count that
    all recipes finished under every one; otherwise each seed has images of its own. The other
    arguments are those of `make_leaderboard`.
    """
    shown = shown or Shown()
    common = {seed: common_images(of_seed) for seed, of_seed in results.items()}
    if same_images:
        everywhere = set.intersection(*map(set, common.values()))
        common = {seed: [n for n in names if n in everywhere] for seed, names in common.items()}
    drawn = {}
    rows = {}
    for name, of_recipe in metrics.items():
        parts = {
            seed: Bootstrap(
                of_recipe,
                [lines[name][image] for image in common[seed]],
                0 if same_images else place,
            )
            for place, (seed, lines) in enumerate(results.items())
        }
        drawn[name] = SeedBootstrap(parts, same_images=same_images)
        every = list(chain.from_iterable(lines[name].values() for lines in results.values()))
        rows[name] = Row(
            recipe=name,
            options=dict(shown.labels.get(name, {})),
            words=(words or {}).get(name, ""),
            scores=estimates(drawn[name]),
            seeds=_spreads(drawn[name]),
            seconds=seconds_of(every),
            images=drawn[name].count,
            failed=sum(not line.ok for line in every),
        )
    failed: dict[str, dict[str, None]] = {}
    for of_seed in results.values():
        for image, recipes in failed_in(of_seed).items():
            failed.setdefault(image, {}).update(dict.fromkeys(recipes))
    board = ranked(
        rows,
        drawn,
        sort_by=shown.sort_by,
        failed={image: list(recipes) for image, recipes in failed.items()},
        skipped=shown.skipped,
        protocols=protocols,
    )
    return replace(board, seeds=tuple(results))


def _spreads(drawn: SeedBootstrap) -> dict[str, Spread]:
    """Each figure of one recipe under every seed, and how far these lie apart."""
    spreads = {}
    for figure in drawn.figures:
        by_seed = {str(seed): figures[figure] for seed, figures in drawn.by_seed.items()}
        deviation = statistics.stdev(by_seed.values()) if len(by_seed) > 1 else float("nan")
        spreads[figure] = Spread(deviation=deviation, figures=by_seed)
    return spreads
