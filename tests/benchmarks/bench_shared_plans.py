"""Eight prompt strategies in one run over one strategy: ViT-B, random weights, four photographs.

pytest -m benchmark -s tests/benchmarks/bench_shared_plans.py
"""

from __future__ import annotations

import statistics
import time

import pytest
from spreads import spread

from segkit import Catalog, Recipe, run
from segkit.running.recipe import Part

pytestmark = pytest.mark.benchmark
STRATEGIES = (
    Part("maxmin"),
    Part("maxmin", {"background": True}),
    Part("topk"),
    Part("topk", {"k": 3, "min_distance": 20}),
    Part("topk", {"background": 2}),
    Part("centroid-grid"),
    Part("centroid-grid", {"background": True}),
    Part("centroid-grid", {"offset": 3}),
)


def test_eight_strategies_cost_little_more_than_one(tmp_path):
    import torch
    from segment_anything import sam_model_registry

    checkpoint = tmp_path / "vit_b.pth"
    torch.save(sam_model_registry["vit_b"]().state_dict(), checkpoint)
    catalog = Catalog(third_party=False)

    def plan(prompt):
        parts = {
            "dataset": (Part("samples", {"only": ("cat", "coffee")}),),
            "prompt": (prompt,),
            "segmenter": (Part("sam", {"model": "vit_b", "checkpoint": str(checkpoint)}),),
            "writer": (),
        }
        return Recipe(parts).build(catalog)

    times = {1: [], 8: []}
    for turn in range(5):
        for count in times:  # in turn, so that noise hits both
            plans = {str(i): plan(p) for i, p in enumerate(STRATEGIES[:count])}
            start = time.perf_counter()
            run(plans, tmp_path / f"{turn}-{count}", catalog=catalog)
            times[count].append(time.perf_counter() - start)
    one, eight = (statistics.median(t) for t in times.values())
    ratios = (b / a for a, b in zip(*times.values(), strict=True))
    print(f"\none strategy {one:.1f} s, eight {eight:.1f} s: ratio {spread(ratios, '≤ 1.15')}")
