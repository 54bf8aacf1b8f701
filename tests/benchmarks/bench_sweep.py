"""Fifteen recipes in one sweep over the dearest alone, and over fifteen runs (ViT-B, random).

pytest -m benchmark -s tests/benchmarks/bench_sweep.py

$TURNS alternations (5). Beside the clock's time stands the processor's, which other programs on the
machine disturb less.
"""

from __future__ import annotations

import itertools
import os
import statistics
import time
from pathlib import Path

import pytest
from spreads import spread

from segkit import Catalog, Recipe, run
from segkit.comparing.sweep import sweep_plans
from segkit.running.options import RunOptions
from segkit.running.recipe import Part

pytestmark = pytest.mark.benchmark
TURNS = int(os.environ.get("TURNS", "5"))
RECIPES = Path(__file__).parents[2] / "examples" / "recipes"
FIFTEEN = (
    *("max", "max-min", "idw-topk", "idw-topk-background", "centroid-grid"),
    *("centroid-grid-background", "local-maxima", "heatmap-mask", "max-adaptive"),
    *("box", "box-topk", "center", "cascade", "k-medoids", "most-interior"),
)


def spent(work):
    """Seconds by the clock and of the processor."""
    clock, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - used


def test_fifteen_recipes_cost_little_more_than_the_dearest(tmp_path):
    import torch
    from segment_anything import sam_model_registry

    torch.manual_seed(0)
    checkpoint = tmp_path / "vit_b.pth"
    torch.save(sam_model_registry["vit_b"]().state_dict(), checkpoint)
    catalog = Catalog(third_party=False)
    number = itertools.count()

    def plan(name):
        recipe = Recipe.load(RECIPES / f"{name}.toml")
        parts = {
            **recipe.parts,
            "dataset": (Part("samples", {"only": ("cat", "coffee")}),),
            "segmenter": (Part("sam", {"model": "vit_b", "checkpoint": str(checkpoint)}),),
            "writer": (),
        }
        return Recipe(parts, rounds=recipe.rounds).build(catalog)

    plans = {name: plan(name) for name in FIFTEEN}

    def alone(name):
        return spent(lambda: run({name: plans[name]}, folder(), catalog=catalog))

    def together():
        return spent(lambda: sweep_plans(plans, folder(), RunOptions(catalog=catalog)))

    def folder():
        return tmp_path / f"{next(number)}"

    alone("max-adaptive")  # warms up
    sweeps, runs = [], []
    for _ in range(TURNS):
        sweeps.append(together())
        runs.append({name: alone(name) for name in FIFTEEN})
    print(f"\n{len(FIFTEEN)} recipes, two photos, load {os.getloadavg()[0]:.1f}")
    for place, clock in enumerate(("by the clock", "of the processor")):
        median = {n: statistics.median(turn[n][place] for turn in runs) for n in FIFTEEN}
        dearest = max(median, key=lambda name: median[name])
        sweep = statistics.median(turn[place] for turn in sweeps)
        print(f"{clock}: sweep {sweep:.1f} s; the dearest, {dearest}, {median[dearest]:.1f} s")
        pairs = list(zip(sweeps, runs, strict=True))
        over = spread((s[place] / r[dearest][place] for s, r in pairs), "≤ 1.06")
        print(f"  sweep over the dearest {over}")
        totals = (sum(r[n][place] for n in FIFTEEN) / s[place] for s, r in pairs)
        print(f"  fifteen runs over the sweep {spread(totals, '≥ 12')}")
