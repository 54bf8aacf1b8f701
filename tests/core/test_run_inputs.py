"""No run writes over what it reads: images, truth, and files of the steps."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from folder_toys import (
    Light,
    Names,
    as_of_first_edition,
    contents,
    files,
    lines,
    photograph,
    photographs,
)
from toys import Best, Bright, Flood, Paint, Peak

from segkit import Dataset, Image, Pipeline, Truth, UsageError, plan, read_image, run
from segkit.comparing.damaged_run import examine_plans
from segkit.comparing.diagnosis import diagnose_plans
from segkit.comparing.sweep import sweep_plans
from segkit.running.options import RunOptions
from segkit_plugins.dataset.files import Files
from segkit_plugins.dataset.folder import Folder
from segkit_plugins.metric.iou import IoU
from segkit_plugins.perturbation.gaussian_blur import GaussianBlur
from segkit_plugins.segmenter.class_maps import ClassMaps
from segkit_plugins.writer.masks import MaskFiles
from segkit_plugins.writer.yolo import Yolo


def made(data):
    truth = [IoU()] if data.has_truth else []
    return plan([data, Bright(), Peak(), Flood(), Best(), Paint(), *truth, MaskFiles()])


def pipeline(chosen, out, **how):
    steps = {"saliency": Bright(), "prompt": Peak(), "segmenter": Flood(), "select": Best()}
    Pipeline(**steps, fuser=Paint()).run(chosen.dataset, out, **how)


COMMANDS = {
    "run": lambda chosen, out, **how: run({"run": chosen}, out, **how),
    "sweep": lambda chosen, out, **how: sweep_plans({"a": chosen}, out, RunOptions(**how)),
    "diagnose": lambda chosen, out, **how: diagnose_plans({"a": chosen}, out, RunOptions(**how)),
    "robustness": lambda chosen, out, **how: examine_plans(
        {"a": chosen}, out, RunOptions(**how), perturbations=[GaussianBlur()], levels=1
    ),
    "Pipeline.run": pipeline,
}


def refused(command, chosen, out, sentence, **how):
    before = contents(out)
    with pytest.raises(UsageError) as error:
        COMMANDS[command](chosen, out, **how)
    assert str(error.value) == (
        f"-o {out}: {sentence}, so the run could write over it; choose another folder"
    )
    assert contents(out) == before


@pytest.fixture
def photos(tmp_path):
    return photographs(tmp_path / "photos", "a", "b").parent


@pytest.fixture
def out(tmp_path, photos):
    """The folder of a run without truth, which has left masks."""
    run({"run": made(files(photos))}, tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.parametrize("how", ["resume", "overwrite"])
@pytest.mark.parametrize("command", COMMANDS)
def test_masks_of_the_run_are_not_its_truth(photos, out, command, how):
    chosen = made(files(photos, masks=out / "masks"))
    refused(
        command, chosen, out, f"--files.masks {out / 'masks'} lies in that folder", **{how: True}
    )


def test_masks_of_a_sweep_are_not_its_truth(photos, tmp_path):
    out = tmp_path / "out"
    COMMANDS["sweep"](made(files(photos)), out)
    masks = out / "recipes/a/masks"
    for command in COMMANDS:
        sentence = f"--files.masks {masks} lies in that folder"
        refused(command, made(files(photos, masks=masks)), out, sentence, overwrite=True)
    # Each recipe's folder is a run's of its own.
    COMMANDS["run"](made(files(photos, masks=masks)), tmp_path / "other")


@pytest.mark.parametrize(
    ("how", "what"),
    [("resume", "all images are files of that run, such as"), ("overwrite", "the image")],
)
def test_pictures_of_the_run_are_not_its_images(photos, out, how, what):
    chosen = made(Folder(images=out / "masks/*.png", masks=photos))
    lies = " lies in that folder" if how == "overwrite" else ""
    refused("run", chosen, out, f"{what} {out / 'masks/a.png'}{lies}", **{how: True})


def test_photos_are_not_written_among(photos):
    for how in ({}, {"resume": True}, {"overwrite": True}):
        sentence = f"the image {photos / 'a.png'} lies in that folder"
        refused("run", made(files(photos)), photos, sentence, **how)


def test_photos_that_came_later_may_lie_in_a_folder_of_their_own(photos, out):
    more = photographs(out / "photos", "c", "d").parent
    assert COMMANDS["run"](made(files(more)), out, overwrite=True)["run"]["images"] == 2
    assert contents(more).keys() == {"c.png", "d.png"}


def test_where_a_writer_writes_to_must_be_known(photos, out):
    """A new one's folder may be any, so nothing in the run's folder may be read."""
    more = photographs(out / "photos", "c").parent
    chosen = plan([files(more), Light(), Names()])
    refused("run", chosen, out, f"the image {more / 'c.png'} lies in that folder", overwrite=True)


# ---- links and spellings -----------------------------------------------------------------------


def test_another_spelling_is_the_same_folder(photos, out, tmp_path, monkeypatch):
    monkeypatch.chdir(out)
    (tmp_path / "link").symlink_to(out)
    chosen = made(files(photos, masks=Path("masks")))
    for spelt in (Path(), tmp_path / "photos/../out", tmp_path / "link"):
        refused("run", chosen, spelt, "--files.masks masks lies in that folder", overwrite=True)


def test_a_link_to_the_truth_is_not_written_through(photos, out, tmp_path):
    truth = photographs(tmp_path / "truth", "a", "b").parent
    chosen = made(files(photos, masks=truth))
    for name in ("a.png", "b.png"):
        (out / "masks" / name).unlink()
    (out / "masks").rmdir()
    (out / "masks").symlink_to(truth)
    sentence = f"--files.masks {truth} lies in that folder"
    refused("run", chosen, out, sentence, overwrite=True)
    refused("run", chosen, out, sentence, resume=True)


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_link_to_one_mask_is_not_written_through(photos, out, tmp_path, link):
    truth = photographs(tmp_path / "truth", "a", "b").parent
    (out / "masks/a.png").unlink()
    link(truth / "a.png", out / "masks/a.png")
    what = f"{out / 'masks/a.png'} in that folder is a link to '{truth / 'a.png'}'"
    chosen = made(files(photos, masks=truth))
    refused("run", chosen, out, f"{what}, which the run reads", overwrite=True)


def test_a_photo_that_is_a_link_into_the_run_s_folder_is_one_of_its_files(photos, out, tmp_path):
    (photos / "c.png").symlink_to(out / "masks/a.png")
    sentence = f"the image {photos / 'c.png'} lies in that folder"
    refused("run", made(files(photos)), out, sentence, overwrite=True)


def test_links_that_lead_elsewhere_do_not_matter(photos, out, tmp_path):
    (out / "photos").symlink_to(photos)  # to look at them side by side
    for name in contents(photos):
        os.link(photos / name, tmp_path / name)
    assert COMMANDS["run"](made(files(photos)), out, resume=True)["run"]["images"] == 2


# ---- what else is read -------------------------------------------------------------------------


def test_a_step_does_not_read_what_the_run_writes(photos, out):
    chosen = plan([files(photos), ClassMaps(folder=out / "masks"), MaskFiles()])
    sentence = f"--class-maps.folder {out / 'masks'} has files of the run in that folder"
    refused("run", chosen, out, sentence, overwrite=True)


def test_a_data_set_that_does_not_tell_its_files_is_known_by_its_options(photos, out):
    class Mine(Dataset):
        name = "mine"
        root: Path

        @property
        def names(self):
            return ["a"]

        @property
        def has_truth(self):
            return False

        def __getitem__(self, index: int) -> tuple[Image, Truth | None]:
            return read_image(next(self.root.rglob("a.png")), "a"), None

    refused("run", made(Mine(root=out)), out, f"--mine.root {out} is that folder", overwrite=True)
    sentence = f"--mine.root {out / 'masks'} lies in that folder"
    refused("run", made(Mine(root=out / "masks")), out, sentence, overwrite=True)
    assert COMMANDS["run"](made(Mine(root=photos)), out, overwrite=True)["run"]["images"] == 1


# ---- a pattern that finds the run's own files --------------------------------------------------


def test_a_pattern_does_not_find_the_run_s_own_files(photos, tmp_path):
    chosen = made(Files(paths=(str(photos / "**"),)))
    out = photos / "out"
    run({"run": chosen}, out)
    masks = contents(out / "masks")
    photograph(photos / "c.png")
    fresh = made(Files(paths=(str(photos / "**"),)))
    summary = run({"run": fresh}, out, resume=True)["run"]
    assert summary["images"] == 3
    assert lines(out).keys() == {"a", "b", "c"}
    assert masks.items() <= contents(out / "masks").items()
    found = made(Files(paths=(str(photos / "**"),)))
    sentence = f"the image {out / 'masks/a.png'} lies in that folder"
    refused("run", found, out, sentence, overwrite=True)
    refused("run", found, out, sentence, overwrite=True, resume=True)  # it would remove them


def test_images_that_are_all_the_run_s_own_are_refused(photos, out):
    chosen = made(Files(paths=(str(out / "masks"),)))
    sentence = f"all images are files of that run, such as {out / 'masks/a.png'}"
    refused("run", chosen, out, sentence, resume=True)


def test_a_run_of_the_first_edition_among_its_photos_goes_on(tmp_path, monkeypatch):
    """`segkit run photos/ -o . --overwrite` worked where there was a recipe.toml."""
    monkeypatch.chdir(tmp_path)
    photographs(tmp_path / "photos", "a", "b")
    run({"run": made(files(Path("photos")))}, tmp_path / "out")
    as_of_first_edition(tmp_path / "out")
    (tmp_path / "photos").rename(tmp_path / "out/photos")
    monkeypatch.chdir(tmp_path / "out")
    with pytest.warns(UserWarning, match=r"2 images \(a, b\) were done by segkit 0.1.0"):
        summary = run({"run": made(files(Path("photos")))}, Path(), resume=True)["run"]
    assert summary["images"] == 2
    assert run({"run": made(files(Path("photos")))}, Path(), overwrite=True)["run"]["images"] == 2


@pytest.mark.skipif(os.name == "nt", reason="a backslash parts folders there")
def test_names_that_no_file_of_a_run_can_have_are_made_into_some(tmp_path):
    folder = tmp_path / "photos"
    long = "ä" * 120  # 240 bytes: with .png it is a file's name, with a suffix more it is none
    photographs(folder, "a\\b", "a_b", long, f"{long[:-1]}o")
    out = tmp_path / "out"
    summary = run({"run": plan([files(folder), Light(), MaskFiles(), Yolo()])}, out)["run"]
    assert (summary["images"], summary["failed"]) == (4, 0)
    names = {*lines(out)}
    assert {"a_b", "a_b-2"} < names
    assert len(names) == 4
    assert all(len(name.encode()) < 200 for name in names)
