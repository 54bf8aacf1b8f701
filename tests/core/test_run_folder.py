"""A run's folder: what marks it, what `--overwrite` takes away, and what of the user's stays."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from folder_toys import (
    Light,
    Names,
    Strips,
    as_of_first_edition,
    contents,
    cut,
    files,
    photograph,
    photographs,
    snapshot,
)
from toys import Bright, Flood, Peak

from segkit import Image, UsageError, plan, run
from segkit.comparing.damaged_run import examine_plans
from segkit.comparing.diagnosis import diagnose_plans
from segkit.comparing.sweep import sweep_plans
from segkit.running.ledger import LEDGER
from segkit.running.options import RunOptions
from segkit.running.recipe_record import recorded, to_toml
from segkit_plugins.perturbation.gaussian_blur import GaussianBlur
from segkit_plugins.writer.coco import Coco
from segkit_plugins.writer.masks import MaskFiles


def made(folder, *writers):
    return plan([files(folder), Light(), *(writers or (MaskFiles(),))])


def one(chosen, out, **how):
    return run({"run": chosen}, out, **how)["run"]


COMMANDS = {
    "run": lambda chosen, out, **how: run({"run": chosen}, out, **how),
    "sweep": lambda chosen, out, **how: sweep_plans({"a": chosen}, out, RunOptions(**how)),
    "robustness": lambda chosen, out, **how: examine_plans(
        {"a": chosen}, out, RunOptions(**how), perturbations=[GaussianBlur()], levels=1
    ),
}


# ---- what marks a run --------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["overwrite", "resume"])
@pytest.mark.parametrize("command", COMMANDS)
def test_files_that_are_called_like_ours_make_no_run(tmp_path, command, how):
    photographs(tmp_path / "photos", "a", "b")
    mine = tmp_path / "mine"
    for name in ("masks/a.png", "examples/a.jpg", "recipes/topk/notes.txt", "coco/x.json"):
        (mine / name).parent.mkdir(parents=True, exist_ok=True)
        (mine / name).write_text("mine")
    chosen = made(tmp_path / "photos")
    content = recorded(chosen)
    del content["record"]  # as `--save` writes it
    (mine / "recipe.toml").write_text(to_toml(content))
    for name in ("summary.json", "leaderboard.json", "results.jsonl", "robustness.toml"):
        (mine / name).write_text("{}")
    before = snapshot(mine)
    with pytest.raises(UsageError) as error:
        COMMANDS[command](chosen, mine, **{how: True})
    assert str(error.value) == (
        f"--{how}: {mine} holds files, but no run of segkit; choose another folder"
    )
    assert snapshot(mine) == before


def test_a_copy_of_a_run_s_recipe_is_no_run(tmp_path):
    photographs(tmp_path / "photos", "a")
    chosen = made(tmp_path / "photos")
    one(chosen, tmp_path / "out")
    mine = tmp_path / "mine"
    (mine / "masks").mkdir(parents=True)
    (mine / "masks/a.png").write_text("mine")
    for name in ("recipe.toml", "results.jsonl", "summary.json"):
        shutil.copy(tmp_path / "out" / name, mine)
    before = snapshot(mine)
    with pytest.raises(UsageError) as error:
        one(chosen, mine, overwrite=True)
    assert str(error.value) == (
        f"--overwrite: {mine} holds the recipe.toml of a run, but no segkit-run.jsonl, which marks "
        "a run's folder; put it back, or choose another folder"
    )
    assert snapshot(mine) == before


def test_a_folder_that_is_no_run_is_not_offered_to_be_overwritten(tmp_path):
    photographs(tmp_path / "photos", "a")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(UsageError) as error:
        one(made(tmp_path / "photos"), tmp_path / "mine")
    assert str(error.value) == (
        f"-o {tmp_path / 'mine'} holds files, but no run of segkit; choose another folder"
    )


@pytest.mark.parametrize("how", ["overwrite", "resume"])
def test_a_run_that_ended_before_its_first_image_is_one(tmp_path, how):
    photographs(tmp_path / "photos", "a")
    out = tmp_path / "out"
    one(made(tmp_path / "photos"), out)
    for name in snapshot(out) - {LEDGER}:
        (out / name).unlink()
    (out / LEDGER).write_text((out / LEDGER).read_text().splitlines(keepends=True)[0])
    assert one(made(tmp_path / "photos"), out, **{how: True})["images"] == 1


# ---- what --overwrite takes away ---------------------------------------------------------------


def test_overwrite_takes_what_the_run_has_made_and_nothing_else(tmp_path):
    pytest.importorskip("pycocotools")
    photographs(tmp_path / "photos", "a", "b")
    out = tmp_path / "out"
    one(made(tmp_path / "photos", MaskFiles(), Coco(), Strips()), out)
    assert snapshot(out) >= {
        *("masks/a.png", "coco/parts/a.json", "coco/images/b.jpg", "coco/annotations.json"),
        *("coco/classes.json", "strips/a.txt", "strips/names.txt", "all.txt"),
    }
    mine = {
        *("notes.txt", "masks/mine.png", "masks/deep/mine.png", "coco/mine.json"),
        *("leaderboard.csv", "robustness.json", "overlay/mine.jpg", "recipes/mine/recipe.toml"),
    }
    for name in mine:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("mine")
    one(made(tmp_path / "photos", Names()), out, overwrite=True)
    assert snapshot(out) == {
        *(LEDGER, "recipe.toml", "results.jsonl", "summary.json", "names/a", "names/b"),
        *mine,
    }
    assert all((out / name).read_text() == "mine" for name in mine)
    assert not (out / "strips").exists()  # it is empty now


def test_overwrite_takes_a_sweep_with_all_its_recipes(tmp_path):
    photographs(tmp_path / "photos", "a", "b")
    out = tmp_path / "out"
    plans = {
        name: plan([files(tmp_path / "photos"), Light(level=level), MaskFiles()])
        for name, level in (("dark", 50), ("light", 150))
    }
    sweep_plans(plans, out)
    (out / "recipes/dark/masks/mine.png").write_text("mine")
    (out / "recipes/mine").mkdir()
    (out / "recipes/mine/recipe.toml").write_text("mine")
    (out / "diagnosis.json").write_text("mine")
    one(made(tmp_path / "photos", Names()), out, overwrite=True)
    assert snapshot(out) == {
        *(LEDGER, "recipe.toml", "results.jsonl", "summary.json", "names/a", "names/b"),
        *("recipes/dark/masks/mine.png", "recipes/mine/recipe.toml", "diagnosis.json"),
    }


def test_a_sweep_leaves_a_diagnosis_that_is_not_its_own(tmp_path):
    photographs(tmp_path / "photos", "a")
    sweep_plans({"a": made(tmp_path / "photos")}, tmp_path / "out")
    (tmp_path / "out/diagnosis.json").write_text("mine")
    sweep_plans({"a": made(tmp_path / "photos")}, tmp_path / "out", RunOptions(resume=True))
    assert (tmp_path / "out/diagnosis.json").read_text() == "mine"
    truth = photographs(tmp_path / "truth", "a").parent
    steps = files(tmp_path / "photos", masks=truth), Bright(), Peak(), Flood()
    with pytest.raises(UsageError, match=r"diagnosis.json is no file of this run, and would be"):
        diagnose_plans({"a": plan(steps)}, tmp_path / "out", RunOptions(resume=True))
    assert (tmp_path / "out/diagnosis.json").read_text() == "mine"


def test_what_a_crash_has_left_is_the_run_s(tmp_path):
    photographs(tmp_path / "photos", "a", "b", "c")
    out = tmp_path / "out"
    one(made(tmp_path / "photos", MaskFiles(), Strips()), out)
    cut(out, 1)  # files of b and c are there, and no line says so
    with (out / LEDGER).open("a") as file:
        file.write('{"image": "c')
    (out / "masks/.0123456789abcdef0123456789abcdef.part").write_text("half")
    (out / ".fedcba9876543210fedcba9876543210.part").write_text("half")
    photographs(tmp_path / "other", "z")
    one(made(tmp_path / "other", Names()), out, overwrite=True)
    assert snapshot(out) == {
        *(LEDGER, "recipe.toml", "results.jsonl", "summary.json", "names/z"),
    }


def test_a_line_that_was_cut_off_does_not_spoil_the_next(tmp_path):
    photographs(tmp_path / "photos", "a", "b")
    out = tmp_path / "out"
    one(made(tmp_path / "photos"), out)
    cut(out, 1)
    notes = (out / LEDGER).read_text()
    (out / LEDGER).write_text(notes[: notes.index('{"image": "b"}') + 5])
    (out / "masks/b.png").unlink()  # it is noted before it is written
    one(made(tmp_path / "photos", MaskFiles()), out, resume=True)
    assert '\n{"image": "b"}\n' in (out / LEDGER).read_text()


def test_finish_may_name_its_files_itself(tmp_path):
    class Honest(Names):
        name = "honest"

        def finish(self, directory: Path, images: Sequence[str]) -> tuple[Path, ...]:
            (directory / "beside.txt").write_text("somebody else's")
            (directory / "names/all.txt").write_text("all")
            return (directory / "names/all.txt",)

    photographs(tmp_path / "photos", "a")
    out = tmp_path / "out"
    one(made(tmp_path / "photos", Honest()), out)
    one(made(tmp_path / "photos"), out, overwrite=True)
    assert "beside.txt" in snapshot(out)
    assert "names/all.txt" not in snapshot(out)


def test_overwrite_follows_no_link_and_no_path_that_leads_out(tmp_path):
    photographs(tmp_path / "photos", "a")
    out, away = tmp_path / "out", tmp_path / "away"
    one(made(tmp_path / "photos"), out)
    (out / "masks").rename(away)
    (out / "masks").symlink_to(away)
    (tmp_path / "precious.txt").write_text("mine")
    rows = (out / "results.jsonl").read_text()
    (out / "results.jsonl").write_text(
        rows.replace('"masks/a.png"', '"masks/a.png", "../precious.txt", "/precious.txt"')
    )
    before = contents(away)
    one(made(tmp_path / "photos", Names()), out, overwrite=True)
    assert contents(away) == before
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_overwrite_leaves_what_cannot_be_told_from_the_user_s(tmp_path):
    """A file that `write` makes and does not return is known only if the first image has it."""

    class Silent(Names):
        name = "silent"

        def write(self, directory: Path, image: Image) -> tuple[Path, ...]:
            (directory / f"{image.name}.hidden").write_text("")
            return super().write(directory, image)

    photographs(tmp_path / "photos", "a", "b")
    out = tmp_path / "out"
    one(made(tmp_path / "photos", Silent()), out)
    one(made(tmp_path / "photos"), out, overwrite=True)
    assert {name for name in snapshot(out) if name.endswith(".hidden")} == {"b.hidden"}


# ---- files of the user's in the way ------------------------------------------------------------


def test_a_file_in_the_place_of_a_new_image_s_is_not_written_over(tmp_path):
    photographs(tmp_path / "photos", "a", "b")
    out = tmp_path / "out"
    chosen = made(tmp_path / "photos")
    one(chosen, out)
    cut(out, 1)  # the mask of b is there already: the run's own
    mine = out / "masks/c.png"
    mine.write_text("mine")
    photograph(tmp_path / "photos/c.png")
    before = contents(out)
    for how in ("resume", "overwrite"):
        with pytest.raises(UsageError) as error:
            one(made(tmp_path / "photos"), out, **{how: True})
        assert str(error.value) == (
            f"-o {out}: {mine} is no file of this run, and could be written over; move it, or "
            "choose another folder"
        )
        assert contents(out) == before
    mine.rename(out / "mine.png")
    assert one(made(tmp_path / "photos"), out, resume=True)["images"] == 3
    assert (out / "mine.png").read_text() == "mine"


def test_a_folder_that_a_new_writer_would_write_into_stays_the_user_s(tmp_path):
    photographs(tmp_path / "photos", "a")
    out = tmp_path / "out"
    one(made(tmp_path / "photos"), out)
    (out / "names").mkdir()
    (out / "names/all.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"names/all.txt is no file of this run, and could be"):
        one(made(tmp_path / "photos", Names()), out, overwrite=True)


@pytest.mark.parametrize(
    ("first", "then", "name"),
    [
        ("run", "sweep", "leaderboard.csv"),
        ("run", "robustness", "robustness.json"),
        ("sweep", "run", "recipe.toml"),
    ],
)
def test_files_of_another_command_s_names_are_not_written_over(tmp_path, first, then, name):
    photographs(tmp_path / "photos", "a")
    out, chosen = tmp_path / "out", made(tmp_path / "photos")
    COMMANDS[first](chosen, out)
    (out / name).write_text("mine")
    with pytest.raises(UsageError, match=rf"{name} is no file of this run, and would be written"):
        COMMANDS[then](chosen, out, overwrite=True)
    assert (out / name).read_text() == "mine"


def test_a_recipe_s_folder_of_the_user_s_is_found_before_anything_goes(tmp_path):
    photographs(tmp_path / "photos", "a")
    out, chosen = tmp_path / "out", made(tmp_path / "photos")
    sweep_plans({"a": chosen}, out)
    (out / "recipes/b").mkdir()
    (out / "recipes/b/notes.txt").write_text("mine")
    before = contents(out)
    with pytest.raises(UsageError, match="recipes/b holds files, but no run of segkit"):
        sweep_plans({"b": chosen}, out, RunOptions(overwrite=True))
    assert contents(out) == before


# ---- runs of the first edition -----------------------------------------------------------------


def test_a_run_of_the_first_edition_is_known_and_replaced(tmp_path):
    pytest.importorskip("pycocotools")
    photographs(tmp_path / "photos", "a", "b")
    out = tmp_path / "out"
    one(made(tmp_path / "photos", MaskFiles(), Coco(), Names()), out)
    as_of_first_edition(out)
    (out / "masks/mine.png").write_text("mine")
    one(made(tmp_path / "photos"), out, overwrite=True)
    assert snapshot(out) == {
        *(LEDGER, "recipe.toml", "results.jsonl", "summary.json", "masks/a.png", "masks/b.png"),
        "masks/mine.png",
    }


def test_a_sweep_of_the_first_edition_is_known_and_replaced(tmp_path):
    photographs(tmp_path / "photos", "a", "b")
    out = tmp_path / "out"
    sweep_plans({"a": made(tmp_path / "photos")}, out)
    as_of_first_edition(out)
    (out / "mine.txt").write_text("mine")
    one(made(tmp_path / "photos", Names()), out, overwrite=True)
    assert snapshot(out) == {
        *(LEDGER, "recipe.toml", "results.jsonl", "summary.json", "names/a", "names/b"),
        "mine.txt",
    }


def test_a_run_of_the_first_edition_that_had_just_begun_goes_on(tmp_path):
    photographs(tmp_path / "photos", "a")
    out, chosen = tmp_path / "out", made(tmp_path / "photos")
    one(chosen, out)
    as_of_first_edition(out)
    recipe = (out / "recipe.toml").read_text()
    shutil.rmtree(out)
    out.mkdir()
    (out / "recipe.toml").write_text(recipe)
    assert one(chosen, out, resume=True)["images"] == 1


def test_the_file_that_cannot_be_removed_is_named_in_a_sentence(tmp_path, monkeypatch):
    photographs(tmp_path / "photos", "a")
    out, chosen = tmp_path / "out", made(tmp_path / "photos")
    one(chosen, out)

    def refuse(path, missing_ok=False):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)  # root may remove anything
    with pytest.raises(UsageError, match="cannot be made: Permission denied; choose another"):
        one(chosen, out, overwrite=True)
    monkeypatch.undo()
    assert (out / LEDGER).exists()
