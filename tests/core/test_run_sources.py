"""A run goes on with the same images: each keeps its name, and what has changed is done again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from folder_toys import (
    Light,
    Names,
    contents,
    files,
    lines,
    masks,
    photograph,
    photographs,
    snapshot,
)
from source_toys import Told, where

from segkit import plan, write_png
from segkit.comparing.sweep import sweep_plans
from segkit.running.options import RunOptions
from segkit.running.sources import RunImages

# ---- what a line says --------------------------------------------------------------------------


def test_a_line_says_which_file_its_image_came_from(photos, out):
    status = (photos / "a.png").stat()
    assert lines(out)["a"]["source"] == {
        "path": str(photos / "a.png"),
        "size": status.st_size,
        "modified": status.st_mtime,
    }


def test_a_line_says_which_files_its_truth_came_from(photos, tmp_path):
    truth = photographs(tmp_path / "truth", "a", "b", "c").parent
    Told(tmp_path / "out", files(photos, masks=truth))
    status = (truth / "a.png").stat()
    assert lines(tmp_path / "out")["a"]["source"]["truth"] == [
        {"path": str(truth / "a.png"), "size": status.st_size, "modified": status.st_mtime}
    ]


def test_nothing_changed_and_nothing_is_said(photos, out):
    before = contents(out)
    told = Told(out, files(photos), resume=True)
    assert (told.said, told.done) == ([], [])
    after = contents(out)
    assert after["results.jsonl"] == before["results.jsonl"]
    assert after.keys() == before.keys()


def test_no_file_is_opened_to_see_whether_it_has_changed(photos, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a file is opened")

    data = files(photos)
    assert list(data.names) == ["a", "b", "c"]
    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr("io.open", refuse)
    images = RunImages(data)
    assert [images.stamp(name)["size"] > 0 for name in "abc"] == [True] * 3


# ---- names -------------------------------------------------------------------------------------


def test_a_name_stays_with_its_file(photos, out):
    photograph(photos / "a.bmp.png", 90)
    (photos / "a.bmp.png").rename(photos / "a.bmp")  # sorts before a.png, and has its stem
    assert list(files(photos).names)[:2] == ["a", "a-2"]
    before = (out / "names/a").read_bytes()
    told = Told(out, files(photos), resume=True)
    assert where(out) == {"a": "a.png", "b": "b.png", "c": "c.png", "a-2": "a.bmp"}
    assert told.done == ["a-2"]
    assert told.said == []
    assert (out / "names/a").read_bytes() == before
    assert (out / "names/a-2").read_bytes() != before
    # And so it goes on.
    assert Told(out, files(photos), resume=True).done == []


def test_a_failed_image_keeps_its_name_too(photos, tmp_path):
    out = tmp_path / "out"
    (photos / "b.png").write_text("no picture")
    assert Told(out, files(photos)).summary["failed"] == 1
    photograph(photos / "b.bmp")
    photograph(photos / "b.png")
    told = Told(out, files(photos), resume=True)
    assert told.done == ["b-2", "b"]
    assert where(out)["b"] == "b.png"


def test_a_new_name_is_free_of_all_that_are_taken(photos, out):
    photograph(photos / "a-2.png", 50)
    Told(out, files(photos), resume=True)
    photograph(photos / "a.bmp")
    Told(out, files(photos), resume=True)
    assert where(out)["a-2"] == "a-2.png"
    assert where(out)["a-3"] == "a.bmp"


def test_recipes_of_one_sweep_agree_on_names(photos, tmp_path):
    """Also where one of them took no part when a file was added."""
    out = tmp_path / "out"
    plans = {n: plan([files(photos), Light(level=v), Names()]) for n, v in (("x", 50), ("y", 60))}
    sweep_plans({"x": plans["x"]}, out)
    photograph(photos / "a.bmp")
    fresh = {n: plan([files(photos), Light(level=v), Names()]) for n, v in (("x", 50), ("y", 60))}
    sweep_plans({"y": fresh["y"]}, out, RunOptions(resume=True))
    assert where(out / "recipes/y")["a"] == "a.png"
    board = sweep_plans(fresh, out, RunOptions(resume=True))
    assert where(out / "recipes/x") == where(out / "recipes/y")
    assert board.images == 4


# ---- what has changed --------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "sweep", "robustness"])
def test_a_photo_that_was_replaced_is_done_again(photos, tmp_path, command):
    out = tmp_path / "out"
    Told(out, files(photos), command=command)
    place = out if command == "run" else out / "recipes/a"
    old = (place / "names/b").read_bytes()
    photograph(photos / "b.png", 250, size=(9, 9))
    told = Told(out, files(photos), command=command, resume=True)
    assert told.done == ["b"]
    assert told.said == [
        "1 image (b) has changed and is done again",
        f"what was made of images that are gone or have changed is in {place / 'earlier'}",
    ]
    assert (place / "names/b").read_bytes() != old
    assert (place / "earlier/names/b").read_bytes() == old
    assert Told(out, files(photos), command=command, resume=True).done == []


def test_a_photo_of_another_time_has_changed(photos, out):
    os.utime(photos / "b.png", (1, 1))
    os.utime(photos / "c.png", (1, 1))
    told = Told(out, files(photos), resume=True)
    assert told.done == ["b", "c"]
    assert told.said[0] == "2 images (b, c) have changed and are done again"


def test_a_mask_that_is_now_another_one_counts_anew(photos, tmp_path):
    truth = masks(tmp_path / "truth", "a", "b", "c")
    out = tmp_path / "out"
    first = Told(out, files(photos, masks=truth)).summary["scores"]["right"]
    assert first == 1
    write_png(truth / "b.png", np.zeros((6, 8), np.uint8))
    told = Told(out, files(photos, masks=truth), resume=True)
    assert told.done == ["b"]
    assert told.summary["scores"]["right"] < first


def test_what_cannot_be_done_again_leaves_no_old_mask(photos, out):
    (photos / "b.png").write_text("no picture any more")
    told = Told(out, files(photos), resume=True)
    assert (told.summary["images"], told.summary["failed"]) == (3, 1)
    assert not (out / "names/b").exists()
    assert (out / "earlier/names/b").exists()


def test_earlier_files_are_not_written_over(photos, out):
    for level in (240, 250):
        photograph(photos / "b.png", level)
        os.utime(photos / "b.png", (level, level))
        Told(out, files(photos), resume=True)
    assert (out / "earlier/names/b").read_text() != (out / "earlier-2/names/b").read_text()
    Told(out, files(photos), overwrite=True)
    assert not (out / "earlier").exists()


# ---- what is gone ------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "sweep", "robustness"])
def test_photos_that_are_gone_leave_the_results(photos, tmp_path, command):
    out = tmp_path / "out"
    Told(out, files(photos), command=command)
    place = out if command == "run" else out / "recipes/a"
    (photos / "b.png").unlink()
    (photos / "c.png").unlink()
    told = Told(out, files(photos), command=command, resume=True)
    assert told.done == []
    assert told.said == [
        "2 images (b, c) are gone and leave the results",
        f"what was made of images that are gone or have changed is in {place / 'earlier'}",
    ]
    assert lines(place).keys() == {"a"}
    assert json.loads((place / "summary.json").read_text())["images"] == 1
    assert {"names/a", "earlier/names/b", "earlier/names/c"} <= snapshot(place)
    assert not (place / "names/b").exists()


def test_a_photo_that_comes_back_is_done_again(photos, out):
    (photos / "b.png").rename(photos / "b.away")
    Told(out, files(photos), resume=True)
    (photos / "b.away").rename(photos / "b.png")
    told = Told(out, files(photos), resume=True)
    assert told.done == ["b"]
    assert told.summary["images"] == 3


def test_a_photo_in_another_format_takes_its_place(photos, out):
    photograph(photos / "b.bmp", 90)
    (photos / "b.png").unlink()
    told = Told(out, files(photos), resume=True)
    assert told.said[0] == "1 image (b) has changed and is done again"
    assert where(out)["b"] == "b.bmp"


def test_photos_that_have_moved_are_the_same(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Told(Path("out"), files(Path("photos")))
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("photos", "out"):
        (tmp_path / name).rename(moved / name)
    monkeypatch.chdir(moved)
    told = Told(Path("out"), files(Path("photos")), resume=True)
    assert (told.done, told.said) == ([], [])
    assert lines(moved / "out")["a"]["source"]["path"] == str(moved / "photos/a.png")


def test_a_file_that_several_lines_name_stays(photos, out):
    rows = [line | {"files": [*line["files"], "names/all"]} for line in lines(out).values()]
    (out / "names/all").write_text("all")
    (out / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (photos / "b.png").unlink()
    Told(out, files(photos), resume=True)
    assert (out / "names/all").exists()
