"""Grids of recipes: what is built, named, left out; sweeps and diagnoses on real pictures."""

from __future__ import annotations

import json

import numpy as np
import pytest
from shapes_toys import CATALOG, shapes

from segkit import PlanError, Prompts, Recipe, UsageError, run
from segkit.comparing.diagnosis import TrueBox, TruePoint, diagnose_plans
from segkit.comparing.sweep import Shown, Variant, build_all, sweep_plans
from segkit.running.options import RunOptions
from segkit.running.recipe import Part, make_step


def variant(prompt, transform=None, **options):
    parts = {
        "dataset": (Part("shapes", {"count": 3, "size": 96}),),
        "saliency": (Part("gradcam", {"model": "shapes"}),),
        "prompt": tuple(Part(p, options, merge=i > 0) for i, p in enumerate(prompt.split("+"))),
        "writer": (),
    }
    labels = {"prompt": prompt, **{f"{prompt}.{k}": str(v) for k, v in options.items()}}
    if transform is not None:
        parts["transform"] = (Part(transform),) if transform != "none" else ()
        labels["transform"] = transform
    return Variant(Recipe(parts), labels)


def plans(*prompts):
    return dict(build_all([variant(p) for p in prompts], CATALOG).plans)


# ---- what a grid comes to ----------------------------------------------------------------------


def test_names_say_what_differs():
    built = build_all([variant("topk", t, k=k) for t in ("none", "idw") for k in (1, 3)], CATALOG)
    assert list(built.plans) == ["k=1", "k=3", "idw-k=1", "idw-k=3"]
    assert built.options["idw-k=3"] == {"prompt": "topk", "topk.k": "3", "transform": "idw"}


def test_a_recipe_that_needs_no_heatmap_loses_it_and_comes_once():
    built = build_all([variant(p, t) for p in ("topk", "center") for t in ("none", "idw")], CATALOG)
    assert list(built.plans) == ["topk", "idw-topk", "center"]
    assert built.plans["center"].saliencies == ()
    assert built.plans["center"].transforms == ()
    assert built.skipped == [{"recipe": "idw-center", "reason": "the same as center"}]


def test_what_does_not_fit_together_is_left_out_and_named():
    good = variant("topk")
    parts = {**good.recipe.parts, "saliency": ()}
    bad = Variant(Recipe(parts), {"prompt": "topk", "saliency": "none"})
    built = build_all([good, bad], CATALOG)
    assert list(built.plans) == ["topk"]
    assert built.skipped[0]["recipe"].startswith("topk")
    assert "topk needs 'heatmap', and nothing before it makes one" in built.skipped[0]["reason"]


def test_nothing_that_can_be_run_is_an_error():
    bad = variant("adaptive-background")
    with pytest.raises(UsageError) as error:
        build_all([bad], CATALOG)
    assert str(error.value) == (
        "none of the recipes can be run: --prompt adaptive-background only refines what another "
        "prompter asks; write --prompt topk+adaptive-background, or another one in place of topk"
    )


def test_a_wrong_option_is_an_error_and_no_reason_to_leave_out():
    with pytest.raises(UsageError, match=r"Invalid value for --topk.k"):
        build_all([variant("topk"), variant("topk", k=0)], CATALOG)


def test_paths_in_names_are_safe_as_folders():
    variants = [variant("topk", k=k) for k in (1, 2)]
    named = [
        Variant(v.recipe, {"prompt": "topk", "gradcam.model": m})
        for v, m in zip(variants, ("a/b:c.pt", "A/B:C.pt"), strict=True)
    ]
    assert list(build_all(named, CATALOG).plans) == ["model=a_b_c.pt", "model=A_B_C.pt-2"]


# ---- a sweep -----------------------------------------------------------------------------------


def test_a_sweep_leaves_each_recipes_folder_and_the_board(tmp_path):
    chosen = plans("topk", "maxmin")
    board = sweep_plans(chosen, tmp_path / "s", RunOptions(catalog=CATALOG))
    assert board.images == 3
    for name in chosen:
        summary = json.loads((tmp_path / "s/recipes" / name / "summary.json").read_text())
        row = next(r for r in board.rows if r.recipe == name)
        assert row.scores["iou"].mean == pytest.approx(summary["scores"]["iou"])
        assert row.scores["hit-rate"].mean == pytest.approx(summary["scores"]["hit-rate"])
    found = json.loads((tmp_path / "s/leaderboard.json").read_text())
    assert found == board.to_dict()
    assert (tmp_path / "s/leaderboard.csv").read_text() == board.to_csv()


def test_a_sweep_goes_on_with_more_recipes(tmp_path):
    sweep_plans(plans("topk"), tmp_path / "s", RunOptions(catalog=CATALOG))
    before = (tmp_path / "s/recipes/topk/results.jsonl").read_text()
    board = sweep_plans(
        plans("topk", "maxmin"), tmp_path / "s", RunOptions(catalog=CATALOG, resume=True)
    )
    assert {row.recipe for row in board.rows} == {"topk", "maxmin"}
    assert (tmp_path / "s/recipes/topk/results.jsonl").read_text() == before
    with pytest.raises(UsageError, match="is not empty; add --resume"):
        sweep_plans(plans("topk"), tmp_path / "s", RunOptions(catalog=CATALOG))
    board = sweep_plans(
        plans("center"), tmp_path / "s", RunOptions(catalog=CATALOG, overwrite=True)
    )
    assert [p.name for p in (tmp_path / "s/recipes").iterdir()] == ["center"]


def test_added_recipes_are_run_alone_and_compared_with_those_that_were_there(tmp_path):
    options = RunOptions(catalog=CATALOG)
    sweep_plans(plans("topk", "center"), tmp_path / "s", options)
    files = [tmp_path / "s/recipes" / name / "results.jsonl" for name in ("topk", "center")]
    before = [(path.read_text(), path.stat().st_mtime_ns) for path in files]
    again = RunOptions(catalog=CATALOG, resume=True)
    board = sweep_plans(plans("maxmin"), tmp_path / "s", again)
    assert {row.recipe for row in board.rows} == {"topk", "center", "maxmin"}
    assert board.images == 3
    assert [(path.read_text(), path.stat().st_mtime_ns) for path in files] == before
    assert all(row.words and row.scores["iou"].mean > 0 for row in board.rows)
    # What has not done all images cannot be compared, and says so.
    files[0].write_text("".join(files[0].read_text().splitlines(keepends=True)[:2]))
    board = sweep_plans(plans("maxmin"), tmp_path / "s", again)
    assert {row.recipe for row in board.rows} == {"center", "maxmin"}
    assert board.skipped == [
        {
            "recipe": "topk",
            "reason": "1 of the images are not done; name it too to go on with it",
        }
    ]
    # What was run with another seed is another comparison's.
    other = RunOptions(catalog=CATALOG, resume=True, seed=5)
    board = sweep_plans(plans("box"), tmp_path / "s", other)
    assert [row.recipe for row in board.rows] == ["box"]
    reason = "it was run on other images, or with another seed or other classes"
    assert {one["reason"] for one in board.skipped} == {reason}


def test_a_folder_that_is_no_run_is_not_overwritten(tmp_path):
    keep = tmp_path / "photos" / "masks" / "truth.png"
    keep.parent.mkdir(parents=True)
    keep.write_bytes(b"precious")
    for how in ("overwrite", "resume"):
        with pytest.raises(UsageError) as error:
            run(plans("topk"), tmp_path / "photos", **{how: True})
        assert str(error.value) == (
            f"--{how}: {tmp_path / 'photos'} holds files, but no run of segkit; choose another "
            "folder"
        )
    assert keep.read_bytes() == b"precious"


def test_what_cannot_be_opened_leaves_the_folder_as_it_was(tmp_path):
    run(plans("topk"), tmp_path / "r")
    before = {p: p.read_bytes() for p in (tmp_path / "r").iterdir() if p.is_file()}
    bad = variant("topk")
    parts = {**bad.recipe.parts, "saliency": (Part("gradcam", {"layer": "nowhere"}),)}
    plan = Recipe(parts).build(CATALOG)
    with pytest.raises(UsageError, match=r"--gradcam.layer nowhere"):
        run({"run": plan}, tmp_path / "r", overwrite=True)
    assert {p: p.read_bytes() for p in (tmp_path / "r").iterdir() if p.is_file()} == before
    with pytest.raises(UsageError, match=r"--gradcam.layer nowhere"):
        run({"run": plan}, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_run_does_not_go_on_with_other_weights(tmp_path):
    from segkit_plugins.shared.weights import bundled

    copy = tmp_path / "nano.safetensors"
    copy.write_bytes(bundled("nano").read_bytes())
    parts = {
        **variant("topk").recipe.parts,
        "segmenter": (Part("sam", {"checkpoint": str(copy)}),),
    }
    run({"run": Recipe(parts).build(CATALOG)}, tmp_path / "r", catalog=CATALOG)
    from safetensors.numpy import load_file, save_file

    save_file({k: v * np.float16(1.01) for k, v in load_file(copy).items()}, copy)
    with pytest.raises(UsageError) as error:
        run({"run": Recipe(parts).build(CATALOG)}, tmp_path / "r", catalog=CATALOG, resume=True)
    assert str(error.value) == (
        f"--resume: the weights sam/nano have changed since {tmp_path / 'r'} was run; give the "
        "same file, or choose another folder"
    )


# ---- refining prompters ------------------------------------------------------------------------


def test_refiners_ask_for_what_their_second_look_reads():
    parts = dict(variant("center+disagreement").recipe.parts)
    del parts["saliency"]
    assert (
        Recipe(parts).build(CATALOG).saliencies[0].name == "gradcam"
    )  # only refine reads heatmaps


@pytest.mark.parametrize("refiner", ["adaptive-background", "disagreement", "cascade"])
@pytest.mark.parametrize(
    "first",
    [
        "topk",
        "center",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("local-maxima", "components")),
    ],
)
def test_refiners_go_with_any_foreground(tmp_path, first, refiner):
    summary = run(plans(f"{first}+{refiner}"), tmp_path / "r")
    assert next(iter(summary.values()))["failed"] == 0
    for text in (tmp_path / "r/results.jsonl").read_text().splitlines():
        for prompt in json.loads(text)["prompts"]:
            assert len(prompt["points"]) == len(prompt["signs"])
            assert len({tuple(p) for p in prompt["points"]}) == len(prompt["points"])
            assert prompt["mask"] == (refiner == "cascade")


# ---- a diagnosis -------------------------------------------------------------------------------


def test_the_parts_add_up_and_the_files_agree(tmp_path):
    chosen = plans("topk", "centroid-grid", "box")
    diagnosis = diagnose_plans(chosen, tmp_path / "d", RunOptions(catalog=CATALOG))
    assert len(diagnosis.rows) == 9
    for loss in diagnosis.rows:
        assert sum(loss.parts.values()) == pytest.approx(1 - loss.iou)
        assert loss.best_candidate >= loss.iou - 1e-9
    for one in diagnosis.recipes:
        summary = json.loads((tmp_path / "d/recipes" / one.recipe / "summary.json").read_text())
        assert one.iou == pytest.approx(summary["scores"]["iou"])
        assert one.selection + one.prompt + one.segmenter == pytest.approx(1 - one.iou)
        assert one.saliency + one.placement == pytest.approx(one.prompt)
        assert one.reading.startswith(
            f"{one.recipe} reaches an IoU of {one.iou:.3f}; the rest goes"
        )
    assert [loss.iou for loss in diagnosis.rows] == sorted(x.iou for x in diagnosis.rows)
    found = json.loads((tmp_path / "d/diagnosis.json").read_text())
    assert found["rows"][0]["selection"] == pytest.approx(diagnosis.rows[0].parts["selection"])
    # One candidate: nothing can be lost to the selection.
    assert all(x.parts["selection"] == 0 for x in diagnosis.rows if x.recipe == "box")


def test_true_prompts_are_what_they_say():
    _, truth = shapes()[0]
    inside = truth.labels.ids > 0
    (point,), (box,) = TruePoint()(truth), TrueBox()(truth)
    x, y = point.points[0].astype(int)
    assert inside[y, x]
    ys, xs = np.nonzero(inside)
    assert box.box.tolist() == [xs.min(), ys.min(), xs.max(), ys.max()]
    assert isinstance(TruePoint()(None), Prompts)
    assert len(TruePoint()(None)) == 0


def test_the_true_points_figure_equals_a_segmenter_asked_by_hand(tmp_path):
    diagnosis = diagnose_plans(plans("topk"), tmp_path / "d", RunOptions(catalog=CATALOG))
    sam = make_step(CATALOG, "segmenter", "sam", {})
    sam.open("cpu")
    dataset = shapes()
    for loss in diagnosis.rows:
        image, truth = dataset[list(dataset.names).index(loss.name)]
        masks = sam(image=image, prompts=TruePoint()(truth), encoding=sam.encode(image))
        true = truth.labels.ids > 0
        best = max((m & true).sum() / (m | true).sum() for m in masks.masks)
        assert loss.true_point == pytest.approx(best, abs=1e-6)


def test_a_diagnosis_goes_on_where_it_was_cut_off(tmp_path):
    first = diagnose_plans(plans("topk"), tmp_path / "d", RunOptions(catalog=CATALOG))
    path = tmp_path / "d/recipes/topk/results.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    again = diagnose_plans(plans("topk"), tmp_path / "d", RunOptions(catalog=CATALOG, resume=True))
    assert [x.iou for x in again.rows] == pytest.approx([x.iou for x in first.rows])


def test_what_cannot_be_diagnosed_is_told(tmp_path):
    parts = {**variant("topk").recipe.parts, "prompt": (), "segmenter": (Part("threshold"),)}
    plan = Recipe(parts).build(CATALOG)
    with pytest.raises(PlanError) as error:
        diagnose_plans({"heat": plan}, tmp_path / "d")
    assert str(error.value) == (
        "heat cannot be diagnosed: its result should be masks that a segmenter made of prompts, "
        "but it is shapes > gradcam > threshold > score > paint; choose a --prompt, and a "
        "--segmenter such as sam"
    )
    blind = Recipe({"writer": ()}).build(CATALOG)
    with pytest.raises(PlanError, match="needs truth, and the data set samples has none"):
        diagnose_plans({"blind": blind}, tmp_path / "d")


def test_a_diagnosis_of_a_sweeps_folder_runs_what_lacks_it(tmp_path):
    sweep_plans(plans("topk", "maxmin"), tmp_path / "d", RunOptions(catalog=CATALOG))
    made = diagnose_plans(
        plans("topk", "maxmin"), tmp_path / "d", RunOptions(catalog=CATALOG, resume=True)
    )
    assert len(made.rows) == 6
    for name in ("topk", "maxmin"):
        text = (tmp_path / "d/recipes" / name / "results.jsonl").read_text()
        assert len(text.splitlines()) == 3
    # And a sweep that goes on with others has no use for it.
    sweep_plans(plans("topk", "center"), tmp_path / "d", RunOptions(catalog=CATALOG, resume=True))
    assert not (tmp_path / "d/diagnosis.json").exists()


def test_a_grid_that_grows_keeps_its_folders(tmp_path):
    first = build_all([variant("topk", k=5), variant("maxmin")], CATALOG)
    assert list(first.plans) == ["topk", "maxmin"]
    sweep_plans(
        first.plans, tmp_path / "s", RunOptions(catalog=CATALOG), Shown(labels=first.options)
    )
    more = build_all([variant("topk", k=5), variant("topk", k=7), variant("maxmin")], CATALOG)
    assert list(more.plans) == ["topk-k=5", "topk-k=7", "maxmin"]
    board = sweep_plans(
        more.plans,
        tmp_path / "s",
        RunOptions(catalog=CATALOG, resume=True),
        Shown(labels=more.options),
    )
    assert {row.recipe for row in board.rows} == {"topk", "topk-k=7", "maxmin"}
    assert {p.name for p in (tmp_path / "s/recipes").iterdir()} == {"topk", "topk-k=7", "maxmin"}


def test_names_that_are_no_folders_are_refused(tmp_path):
    (plan,) = plans("topk").values()
    for name in ("a/b", "..", ""):
        with pytest.raises(UsageError, match="a recipe's name is its folder's"):
            sweep_plans({name: plan, "good": plan}, tmp_path / "s", RunOptions(catalog=CATALOG))
    assert not (tmp_path / "s").exists()


def test_long_names_are_cut():
    recipes = [
        Variant(variant("topk", k=i).recipe, {"prompt": "topk", "topk.k": str(i) * 300})
        for i in (1, 2)
    ]
    names = list(build_all(recipes, CATALOG).plans)
    assert all(len(name) < 100 for name in names)
    assert len(set(names)) == 2


def test_merged_prompters_are_another_recipe(tmp_path):
    run(plans("maxmin+topk"), tmp_path / "r", catalog=CATALOG)
    parts = {**variant("maxmin").recipe.parts, "prompt": (Part("maxmin"), Part("topk"))}
    with pytest.raises(
        UsageError, match=r"was run with --prompt maxmin\+topk, now it is maxmin,topk"
    ):
        run({"r": Recipe(parts).build(CATALOG)}, tmp_path / "r", catalog=CATALOG, resume=True)
