"""Recipes under damage: what does not fit, what fails, and a run that goes on."""

from __future__ import annotations

import numpy as np
import pytest
from damage_toys import Dark, Push, curve, examine, recipe, results
from toys import Best, Bright, Flood, Paint, Peak, Right, Squares, Whole

from segkit import BadImageError, Dataset, Image, Perturbation, PlanError, UsageError, plan
from segkit.comparing.damaged_run import examine_plans
from segkit.running.options import RunOptions


class Moody(Perturbation):
    """Refuses one image at its second level."""

    name = "moody"

    def __call__(self, image: Image, level: float) -> Image:
        if image.name == "square-1" and level == 2:
            raise BadImageError("square-1 is too small for this")
        return image


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
