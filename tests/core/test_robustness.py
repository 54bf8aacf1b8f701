"""Recipes under damage: what is computed, how often, and what comes of it."""

from __future__ import annotations

import csv
import io
import json
import math
from itertools import pairwise

import numpy as np
import pytest
from damage_toys import Dark, Push, curve, examine, recipe, results
from toys import Best, Bright, Flood, Note, Paint, Peak, Right, Squares, Wander, Whole

from segkit import Image, Prompt, Prompts, plan, run
from segkit.running.records import ResultLine

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
