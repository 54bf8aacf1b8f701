"""Nine recipes in one sweep over the dearest alone, and over nine runs: ViT-B, random weights.

pytest -m benchmark -s tests/benchmarks/bench_sweep.py
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from segkit import Catalog, Recipe, run
from segkit.comparing.sweep import sweep_plans
from segkit.running.options import RunOptions
from segkit.running.recipe import Part

pytestmark = pytest.mark.benchmark
RECIPES = Path(__file__).parents[2] / "examples" / "recipes"
NINE = (
    *("max", "max-min", "idw-topk", "idw-topk-background", "centroid-grid"),
    *("centroid-grid-background", "local-maxima", "heatmap-mask", "max-adaptive"),
)


def test_nine_recipes_cost_little_more_than_the_dearest(tmp_path):
    import torch
    from segment_anything import sam_model_registry

    checkpoint = tmp_path / "vit_b.pth"
    torch.save(sam_model_registry["vit_b"]().state_dict(), checkpoint)
    catalog = Catalog(third_party=False)

    def plan(name):
        recipe = Recipe.load(RECIPES / f"{name}.toml")
        parts = {
            **recipe.parts,
            "dataset": (Part("samples", {"only": ("cat", "coffee")}),),
            "segmenter": (Part("sam", {"model": "vit_b", "checkpoint": str(checkpoint)}),),
            "writer": (),
        }
        return Recipe(parts).build(catalog)

    plans = {name: plan(name) for name in NINE}
    run({"warm": plans["max"]}, tmp_path / "warm", catalog=catalog)
    together = []
    alone = {}
    start = time.perf_counter()
    sweep_plans(plans, tmp_path / "first", RunOptions(catalog=catalog))
    together.append(time.perf_counter() - start)
    for name in NINE:
        start = time.perf_counter()
        run({name: plans[name]}, tmp_path / name, catalog=catalog)
        alone[name] = time.perf_counter() - start
    start = time.perf_counter()  # once before and once after, so that drift hits both
    sweep_plans(plans, tmp_path / "second", RunOptions(catalog=catalog))
    together.append(time.perf_counter() - start)
    nine = sum(together) / 2
    dearest = max(alone, key=lambda name: alone[name])
    print(
        f"\nnine recipes together {nine:.1f} s ({together[0]:.1f}, {together[1]:.1f}); the dearest "
        f"alone, {dearest}, {alone[dearest]:.1f} s: ratio {nine / alone[dearest]:.3f} (target ≤ "
        f"1.5); nine runs {sum(alone.values()):.1f} s: {sum(alone.values()) / nine:.2f}× (target "
        "≥ 5)"
    )
