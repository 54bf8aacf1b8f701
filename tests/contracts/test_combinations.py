"""Any combination of the light steps runs, and batched, single and resumed runs agree.

The default run has every pair of steps in some combination; all of them: pytest -m matrix.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest

from segkit import Catalog, PlanError, Recipe, run
from segkit.plugins.trainable import Trainable
from segkit.running.recipe import Part

CATALOG = Catalog(third_party=False)
CLASSES = {"model": "shapes", "target": "top:2", "size": 64}
DATA = Part("scenes", {"count": 2, "size": 64})
PROMPTERS = [
    ("maxmin", {}),
    ("maxmin", {"background": True}),
    ("topk", {"k": 3, "min_distance": 4}),
    ("topk", {"background": 2}),
    ("centroid-grid", {}),
    ("centroid-grid", {"background": True}),
    ("center", {}),
    ("box", {}),
    ("box+topk", {}),
    ("components", {"ask": "both"}),
    ("local-maxima", {"min_distance": 4}),
    ("local-maxima", {"separate": True}),
    ("mask", {}),
    ("mask+topk", {}),
    ("distance-centers", {"k": 2}),
    ("k-medoids", {}),
    ("random-clicks", {}),
    ("skeleton", {}),
    ("topk+adaptive-background", {}),
    ("components+disagreement", {}),
    ("centroid-grid+cascade", {}),
    ("components+erase", {}),
    ("local-maxima+uncovered", {"separate": True}),
]
BLIND = ("center", "random-clicks")
"""The prompters that read no heatmap."""
LIGHTER = {"sam-everything": {"points_per_side": 3}}
"""Options of segmenters that would take long."""
FETCHED = ("clip-text", "grounding-dino", "sam3")
"""What works by a model that has to be fetched first."""
FEW = ("topk", "components", "topk+adaptive-background")
"""The prompters that meet every saliency method; gradcam meets all of them."""


def names(kind):
    """The bundled plugins of a kind that need no file of the user's and no training."""
    found = [e.name for e in CATALOG.entries(kind)]
    return [n for n in found if not needs(kind, n)]


def needs(kind, name):
    step = CATALOG.load(kind, name)
    fields = step.model_fields
    given = ["weights"] if issubclass(step, Trainable) else []
    given += ["model"] if name in FETCHED else []
    return given + [n for n, info in fields.items() if info.is_required()]


def recipe(saliency, transform, prompts, segmenter, selector):
    return Recipe(
        {
            "dataset": (DATA,),
            "saliency": (Part(saliency, {} if saliency == "objectness" else CLASSES),)
            if saliency
            else (),
            "transform": tuple(Part(t) for t in transform),
            "prompt": prompts,
            "segmenter": (Part(segmenter, LIGHTER.get(segmenter, {})),),
            "selector": tuple(Part(s) for s in selector),
            "writer": (Part("masks"),),
        }
    )


def combinations():
    """Every saliency × prompter (with options) × segmenter × selector, as names and recipe.

    Transforms in turn. Score-CAM is not light; methods other than gradcam meet a few prompters.
    Segmenters that read neither prompts nor heatmaps meet those selectors that do not either.
    """
    asked = {s: CATALOG.load("segmenter", s).inputs().all for s in names("segmenter")}
    guided = [s for s, inputs in asked.items() if {"prompts", "heatmap"} & {*inputs}]
    needed = {s: CATALOG.load("selector", s).inputs().required for s in names("selector")}
    free = [s for s, inputs in needed.items() if not {"prompts", "heatmap", "heatmaps"} & {*inputs}]
    for segmenter in sorted(asked.keys() - guided):
        for selector in ["", *free]:
            chosen = ("", "", "", segmenter, selector)
            yield chosen, recipe("", (), (), segmenter, [selector] if selector else [])
    transforms = itertools.cycle(["", *names("transform")])
    for saliency, (prompt, options), segmenter in itertools.product(
        [name for name in names("saliency") if name != "scorecam"],
        PROMPTERS,
        guided,
    ):
        if saliency != "gradcam" and prompt not in FEW:
            continue
        transform = next(transforms)
        reads = "prompts" in asked[segmenter]
        several = [Part(p, merge=i > 0) for i, p in enumerate(prompt.split("+"))]
        prompts = tuple([replace(several[0], options=options), *several[1:]] if reads else [])
        asking = ".".join([prompt, *map(str, options)])
        for selector in ["", *names("selector")]:
            chosen = (saliency, transform, asking, segmenter, selector)
            yield (
                chosen,
                recipe(
                    saliency,
                    [transform] if transform else [],
                    prompts,
                    segmenter,
                    [selector] if selector else [],
                ),
            )


def pairs_of(chosen):
    """Every two of a combination's steps."""
    return {*itertools.combinations(enumerate(chosen), 2)}


def fitting(chosen, combined):
    """The plan, or None: a prompter may read no heatmap, and then nobody may."""
    try:
        return combined.build(CATALOG)
    except PlanError:
        assert chosen[2] in BLIND, chosen
        return None


def every_plan():
    """The plans of all combinations that fit."""
    built = {chosen: fitting(chosen, combined) for chosen, combined in combinations()}
    return {chosen: plan for chosen, plan in built.items() if plan}


def with_each_pair():
    """Few of these plans in which every pair of steps is that is in any of them."""
    rows = dict(combinations())
    missing = set().union(*map(pairs_of, rows))
    plans = {}
    while True:
        chosen = max(rows, key=lambda row: len(pairs_of(row) & missing))
        if not pairs_of(chosen) & missing:
            return plans
        plan = fitting(chosen, rows.pop(chosen))
        if plan:
            plans[chosen] = plan
            missing -= pairs_of(chosen)


def test_every_bundled_prompter_takes_part():
    assert {n for name, _ in PROMPTERS for n in name.split("+")} == set(names("prompt"))


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(with_each_pair, id="pairs"),
        pytest.param(every_plan, id="all", marks=pytest.mark.matrix),
    ],
)
def plans(request):
    """The plans of one run."""
    return {".".join(filter(None, chosen)): plan for chosen, plan in request.param().items()}


@pytest.fixture(scope="module")
def shared(plans, tmp_path_factory):
    """All of them in one run."""
    folder = tmp_path_factory.mktemp("shared") / "out"
    return run(plans, folder, catalog=CATALOG), folder


def without_times(folder):
    lines = (folder / "results.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(t).items() if k != "seconds"} for t in lines]


def test_every_combination_runs_without_a_failed_image(plans, shared):
    summaries, _ = shared
    assert summaries.keys() == plans.keys()
    assert len(plans) > 100
    assert {name: s["failed"] for name, s in summaries.items() if s["failed"]} == {}
    assert all(0 <= s["scores"]["iou"] <= 1 for s in summaries.values())


def same(one, other):
    """Equal but for the last bits of floats, which the size of a batch may change."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == pytest.approx(other, abs=2e-3) if isinstance(one, float) else one == other


@pytest.mark.parametrize("prompt", ["topk", "centroid-grid"])
def test_batched_single_resumed_and_shared_runs_agree(plans, shared, tmp_path, prompt):
    label = next(n for n in plans if {prompt, "sam"} <= {*n.split(".")})
    one = {label: plans[label]}
    run(one, tmp_path / "batch", catalog=CATALOG, chunk=2)
    run(one, tmp_path / "single", catalog=CATALOG, chunk=1)
    run(one, tmp_path / "cut", catalog=CATALOG)
    path = tmp_path / "cut/results.jsonl"
    path.write_text(path.read_text().splitlines(keepends=True)[0])
    run(one, tmp_path / "cut", catalog=CATALOG, resume=True)
    results = [without_times(tmp_path / f) for f in ("batch", "single", "cut")]
    results.append(without_times(shared[1] / "recipes" / label))
    for other in results[1:]:
        assert same(results[0], other)
