"""Recipes under damage: what is computed, how often, and what comes of it."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from toys import Best, Bright, Flood, Note, Paint, Peak, Right, Squares, Wander, Whole

from segkit import (
    BadImageError,
    Dataset,
    Image,
    Perturbation,
    PlanError,
    Prompt,
    Prompts,
    UsageError,
    plan,
    run,
)
from segkit.comparing.damaged_run import examine_plans
from segkit.comparing.sweep import Shown
from segkit.running.options import RunOptions
from segkit.running.records import ResultLine


class Dark(Perturbation):
    """Darker by 40 grey levels a level: at the third, `Flood` finds nothing any more."""

    name = "dark"
    step: int = 40

    def __call__(self, image: Image, level: float) -> Image:
        values = image.pixels.astype(float) - self.step * level
        return Image(values.clip(0, 255).astype(np.uint8), image.name)


class Moody(Perturbation):
    """Refuses one image at its second level."""

    name = "moody"

    def __call__(self, image: Image, level: float) -> Image:
        if image.name == "square-1" and level == 2:
            raise BadImageError("square-1 is too small for this")
        return image


class Push(Perturbation):
    """Every point one pixel to the right a level, as far as there is room."""

    name = "push"
    keep: bool = True

    def __call__(self, prompts: Prompts, image: Image, level: float) -> Prompts:
        last = np.array(image.size[::-1], np.float32) - 1
        moved = [
            replace(p, points=np.minimum(p.points + np.array([level, 0]), last)) for p in prompts
        ]
        return Prompts(tuple(moved if self.keep else moved[1:]))


def recipe(*steps, data=None, metrics=True):
    chosen = steps or (Bright(), Peak())
    dataset = data or Squares()
    last = [Flood(), Best(), Paint()]
    return plan([dataset, *chosen, *last, *([Right()] if metrics else [])])


def examine(tmp_path, plans, *steps, **how):
    damage = {"perturbations": steps or (Dark(),), "levels": how.pop("levels", 3)}
    shown = Shown(how.pop("sort_by", None))
    return examine_plans(plans, tmp_path / "out", RunOptions(**how), shown, **damage)


def curve(found, name="r", damage="dark"):
    return next(c for c in found.curves if (c.recipe, c.perturbation) == (name, damage))


def results(folder):
    text = (folder / "results.jsonl").read_text()
    return {line["name"]: line for line in map(json.loads, text.splitlines())}


# ---- what is computed --------------------------------------------------------------------------


def test_each_level_is_what_a_run_on_damaged_pictures_gives(tmp_path):
    """Independently: a data set that is dark already, run as any other."""

    class DarkSquares(Squares):
        by: int

        def __getitem__(self, index):
            image, truth = super().__getitem__(index)
            pixels = (image.pixels.astype(int) - self.by).clip(0, 255).astype(np.uint8)
            return Image(pixels, image.name), truth

    found = curve(examine(tmp_path, {"r": recipe()}))
    for level in range(4):
        alone = run({"r": recipe(data=DarkSquares(by=40 * level))}, tmp_path / f"{level}")["r"]
        assert found.points[level].figure.mean == pytest.approx(alone["scores"]["right"])
        assert found.points[level].scores == alone["scores"]
    before, after = found.points[0].figure.mean, found.points[3].figure.mean
    assert before == 1
    assert after == pytest.approx(1 - 16 / 192), "nothing found: the square is wrong"


def test_level_0_is_recorded_as_a_run_of_its_own(tmp_path):
    plans = {"r": plan([*recipe().steps, Squares(), Note()])}
    examine(tmp_path, plans)
    run(plans, tmp_path / "run")
    made, alone = tmp_path / "out/recipes/r", tmp_path / "run"
    assert (made / "finished.txt").exists()
    assert (made / "notes/square-3.txt").read_text() == (alone / "notes/square-3.txt").read_text()
    for line, other in zip(results(made).values(), results(alone).values(), strict=True):
        keys = ("name", "status", "scores", "counts", "prompts", "masks", "files")
        assert [line[k] for k in keys] == [other[k] for k in keys]
        assert len(line["robustness"]) == 3
    summaries = [json.loads((f / "summary.json").read_text()) for f in (made, alone)]
    assert summaries[0]["scores"] == summaries[1]["scores"]


def test_what_recipes_share_is_computed_once_for_each_damaged_image(tmp_path):
    bright, flood = Bright(), Flood()
    last = [flood, Best(), Paint(), Right()]
    plans = {
        "a": plan([Squares(count=4), bright, Peak(), *last]),
        "b": plan([Squares(count=4), Bright(), Peak(dx=1), *last]),
    }
    examine(tmp_path, plans, Dark(), Push(), levels=2)
    pictures = 4 * (1 + 2)  # as it is, and two levels of dark; damage to prompts costs none
    assert len(bright._log.calls) == pictures
    assert len(flood._log.calls) == pictures
    assert bright._log.opened == bright._log.closed == 1


def test_all_recipes_see_the_same_damage_and_prompts_move_between_prompter_and_segmenter(tmp_path):
    found = examine(tmp_path, {"r": recipe()}, Push(), levels=8)
    pushed = curve(found, damage="push")
    for level, point in enumerate(pushed.points):
        alone = run({"r": recipe(Bright(), Peak(dx=level))}, tmp_path / f"{level}")["r"]
        assert point.figure.mean == pytest.approx(alone["scores"]["right"])
        assert point.prompt_moved.mean == pytest.approx(level, abs=1e-5)
        assert point.prompt_moved_share.mean == pytest.approx(level / math.hypot(12, 16), abs=1e-5)
        assert point.heatmap_drift.mean == 0
    assert pushed.points[8].mask_lost.mean == 1


def test_second_looks_come_after_the_damage(tmp_path):
    class Later(Wander):
        name = "later"

        def __call__(self, image: Image) -> Prompts:
            return Prompts((Prompt(points=[(6, 2)]),))

    found = examine(tmp_path, {"r": recipe(Wander())}, Push(), levels=6)
    alone = run({"r": recipe(Later())}, tmp_path / "alone")["r"]
    points = curve(found, damage="push").points
    assert points[6].figure.mean == pytest.approx(alone["scores"]["right"])
    assert points[6].figure.mean < points[1].figure.mean == points[0].figure.mean


# ---- what it comes to --------------------------------------------------------------------------


def test_area_and_kept_are_the_trapezoid_rule(tmp_path):
    found = curve(examine(tmp_path, {"r": recipe()}))
    heights = [p.figure.mean for p in found.points]
    area = sum((a + b) / 2 for a, b in pairwise(heights)) / 3
    assert found.area.mean == pytest.approx(area)
    assert found.kept.mean == pytest.approx(area / heights[0])
    assert found.area.low <= area <= found.area.high
    assert [p.change.mean for p in found.points] == pytest.approx([h - heights[0] for h in heights])
    assert (found.points[0].change.low, found.points[0].change.high) == (0, 0)


def test_intervals_are_the_leaderboards(tmp_path):
    from segkit.comparing.leaderboard import make_leaderboard

    found = curve(
        examine(tmp_path, {"r": recipe(Bright(), Peak(dx=2))}, Push(), levels=3), "r", "push"
    )
    lines = results(tmp_path / "out/recipes/r")
    for level in (1, 2, 3):
        damaged = {
            name: ResultLine(name=name, status="ok", counts=line["robustness"][level - 1]["counts"])
            for name, line in lines.items()
        }
        row = make_leaderboard({"r": damaged}, {"r": (Right(),)}).rows[0]
        assert found.points[level].figure == row.scores["right"]


def test_a_stage_gives_way_where_it_passes_its_limit(tmp_path):
    found = examine(tmp_path, {"r": recipe()}, Dark(), Push())
    dark = curve(found)
    assert dark.gives_way == {"heatmap": None, "prompt": None, "mask": 3}
    assert dark.gives_way_first == "mask"
    pushed = curve(found, damage="push")
    assert pushed.gives_way["prompt"] == 2  # 2 px of 20, more than a twentieth
    assert pushed.gives_way_first == "prompt"


def test_the_result_is_read_out_in_words(tmp_path):
    found = examine(tmp_path, {"r": recipe()}, Dark(), Push())
    means = {c.perturbation: c.area.mean for c in found.curves}
    assert means["dark"] < means["push"]
    assert found.recipes[0].reading == (
        "The recipe has right 1.000 without damage; dark harms it most (mean "
        f"{means['dark']:.3f}), push least ({means['push']:.3f}). "
        "Under dark the mask gives way first, at level 3."
    )
    found = examine(tmp_path, {"r": recipe()}, Push(), levels=4, overwrite=True)
    assert found.recipes[0].reading.endswith("Under push the prompt gives way first, at level 2.")
    found = examine(tmp_path, {"r": recipe()}, Dark(step=10), levels=2, overwrite=True)
    assert found.recipes[0].reading == (
        "The recipe has right 1.000 without damage; under dark its mean is 1.000. Under dark no "
        "stage gives way."
    )


def test_without_truth_the_masks_are_compared_with_those_of_level_0(tmp_path):
    plans = {"r": recipe(data=Squares(truth=False), metrics=False)}
    found = examine(tmp_path, plans)
    assert found.figure == "agreement"
    assert [p.figure.mean for p in curve(found).points] == [1, 1, 1, 0]
    assert curve(found).points[3].true_iou is None
    assert [p.mask_lost.mean for p in curve(found).points] == [0, 0, 0, 1]


def test_files_hold_the_same_as_the_result(tmp_path):
    found = examine(tmp_path, {"a": recipe(), "b": recipe(Whole())}, Dark(), Push())
    held = json.loads((tmp_path / "out/robustness.json").read_text())
    assert held == json.loads(json.dumps(found.to_dict()))
    assert [p["name"] for p in held["perturbations"]] == ["dark", "push"]
    assert [p["damages"] for p in held["perturbations"]] == ["image", "prompts"]
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out/robustness.csv").read_text())))
    for row in rows:
        one = next(
            c
            for c in held["curves"]
            if (c["recipe"], c["perturbation"]) == (row["recipe"], row["perturbation"])
        )
        point = one["points"][int(row["level"])]
        assert float(row["right"]) == point["figure"]["mean"]
        assert float(row["mask_lost"]) == point["mask_lost"]["mean"]
    assert len(rows) == 4 * len(held["curves"])
    text = (tmp_path / "out/robustness.toml").read_text()
    assert "levels = 3" in text
    assert 'name = "dark"\nstep = 40' in text


def test_the_best_recipe_comes_first(tmp_path):
    found = examine(tmp_path, {"bad": recipe(Bright(), Peak(dx=6)), "good": recipe()})
    assert [r.recipe for r in found.recipes] == ["good", "bad"]
    assert [c.recipe for c in found.curves] == ["good", "bad"]


# ---- what does not fit, and what fails -----------------------------------------------------------


def test_recipes_without_prompts_take_no_part_in_damage_to_prompts(tmp_path):
    class Bare(Flood):
        name = "bare"

        def __call__(self, encoding: np.ndarray):
            from segkit import Masks

            return Masks(encoding[None], [1.0], [0])

        __call__.__annotations__["return"] = Flood.gives[0]

    bare = plan([Squares(), Bare(), Best(), Paint(), Right()])
    found = examine(
        tmp_path, {"bare": bare, "boxed": recipe(Whole()), "r": recipe()}, Dark(), Push()
    )
    assert {(c.recipe, c.perturbation) for c in found.curves} == {
        *(("bare", "dark"), ("boxed", "dark"), ("r", "dark"), ("r", "push"))
    }
    assert {s.recipe: s.reason for s in found.skipped} == {
        "bare": "it has no prompts that push could damage",
        "boxed": "none of its prompts has anything that push moves",
    }
    assert curve(found, "bare").points[1].prompt_moved is None
    with pytest.raises(PlanError, match="push damages prompts, and no recipe has any; choose"):
        examine_plans({"bare": bare}, tmp_path / "o", perturbations=[Push()])


def test_one_image_that_fails_under_damage_is_left_out_of_that_curve_alone(tmp_path):
    found = examine(tmp_path, {"r": recipe()}, Dark(), Moody())
    assert curve(found).images == 5
    assert curve(found, damage="moody").images == 4
    assert found.failed_images == {"square-1": ["r"]}
    assert [dict(e) for e in found.failed] == [
        {
            "image": "square-1",
            "recipe": "r",
            "perturbation": "moody",
            "level": 2,
            "error": "square-1 is too small for this",
        }
    ]
    assert results(tmp_path / "out/recipes/r")["square-1"]["status"] == "ok"


def test_one_image_that_cannot_be_read_fails_alone(tmp_path):
    found = examine(tmp_path, {"r": recipe(data=Squares(bad=(2,)))}, Dark(), Push())
    assert found.failed_images == {"square-2": ["r"]}
    assert curve(found).images == curve(found, damage="push").images == 4
    assert results(tmp_path / "out/recipes/r")["square-2"]["status"] == "failed"


def test_damage_that_makes_what_it_should_not_is_named(tmp_path):
    found = examine(tmp_path, {"r": recipe()}, Dark(), Push(keep=False), levels=1)
    assert {e.error for e in found.failed} == {
        "perturbation 'push' should make as many prompts as it is given, 1, but made 0"
    }
    assert {c.perturbation for c in found.curves} == {"dark"}


def test_everything_failing_has_a_result_too(tmp_path):
    found = examine(tmp_path, {"r": recipe(data=Squares(count=2, bad=(0, 1)))})
    assert found.curves == ()
    assert found.recipes[0].reading == "r: there is no agreement to compare."
    assert len(found.failed_images) == 2


def test_wrong_use_is_said_before_anything_is_run(tmp_path):
    plans = {"r": recipe()}
    with pytest.raises(UsageError, match="--perturb names dark twice; once is enough"):
        examine_plans(plans, tmp_path / "o", perturbations=[Dark(), Dark(step=3)])
    with pytest.raises(UsageError, match="there is no damage to do; name some by --perturb"):
        examine_plans(plans, tmp_path / "o", perturbations=[])
    with pytest.raises(UsageError, match="--sort nonsense: none of the metrics gives it"):
        examine(tmp_path, plans, sort_by="nonsense")
    assert not (tmp_path / "o").exists()


# ---- going on ----------------------------------------------------------------------------------


def test_a_run_that_was_cut_off_goes_on_to_the_same_result(tmp_path):
    plans = {"a": recipe(), "b": recipe(Bright(), Peak(dx=1))}
    whole = examine(tmp_path, plans, Dark(), Push()).to_dict()
    for name, kept in (("a", 3), ("b", 1)):
        path = tmp_path / f"out/recipes/{name}/results.jsonl"
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(lines[:kept]) + lines[kept][:30])
    (tmp_path / "out/robustness.json").unlink()
    bright = Bright()
    plans = {"a": recipe(bright, Peak()), "b": recipe(Bright(), Peak(dx=1))}
    assert examine(tmp_path, plans, Dark(), Push(), resume=True).to_dict() == whole
    assert set(bright._log.calls) == {f"square-{i}" for i in range(1, 5)}, "the first is done"


def test_going_on_with_other_damage_is_refused(tmp_path):
    examine(tmp_path, {"r": recipe()})
    for how in ({"levels": 2}, {"steps": (Dark(step=3),)}):
        with pytest.raises(UsageError, match=r"was run with other perturbations or levels \(see"):
            examine(tmp_path, {"r": recipe()}, *how.pop("steps", ()), resume=True, **how)
    found = examine(tmp_path, {"r": recipe()}, Push(), overwrite=True)
    assert [c.perturbation for c in found.curves] == ["push"]


def test_chunks_make_no_difference(tmp_path):
    plans = {"a": recipe(), "b": recipe(Whole())}
    found = [
        examine_plans(
            plans, tmp_path / f"{n}", RunOptions(chunk=n), perturbations=[Dark(), Push()]
        ).to_dict()
        for n in (1, 3, 50)
    ]
    assert found[0] == found[1] == found[2]


def test_observers_hear_of_each_image_once_for_each_recipe(tmp_path):
    from segkit import hookimpl

    class Watch:
        def __init__(self):
            self.said = []

        @hookimpl
        def segkit_before_run(self, recipes, images, done):
            self.said.append((recipes, images, done))

        @hookimpl
        def segkit_after_image(self, name, recipe):
            self.said.append((name, recipe))

    watch = Watch()
    examine(tmp_path, {"r": recipe(data=Squares(count=2))}, observers=[watch])
    assert watch.said == [(("r",), 2, 0), ("square-0", "r"), ("square-1", "r")]


def test_a_data_set_is_needed_in_common(tmp_path):
    other: Dataset = Squares(count=2)
    with pytest.raises(UsageError, match="one data set"):
        examine(tmp_path, {"a": recipe(), "b": recipe(data=other)})
