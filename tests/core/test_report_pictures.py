"""The pictures in a report: which of them, how large, and strips cut into their panels."""

from __future__ import annotations

import json

import numpy as np
import pytest
from report_toys import Page, line, picture, write_run, write_strip

from segkit import palette, write_png
from segkit.reporting import pictures as pictures_module
from segkit.reporting import write_report


def test_large_pictures_shrink_and_strips_keep_more(tmp_path):
    folder = write_run(tmp_path, [line("photo"), line("strip")])
    picture(folder, "overlay", "photo", (600, 1000))
    picture(folder, "overlay", "strip", (300, 1500))
    page = Page(write_report(folder))
    assert page.pictures("photo")[0][1].size == (480, 288)
    assert page.pictures("strip")[0][1].size == (960, 192)


def give_room_for(count, folder, monkeypatch):
    """Room for so many images' pictures, all alike in size, and half of another."""
    page = Page(write_report(folder))
    one = max(len(data) for data, _, _ in page.embedded.values()) + pictures_module.MARKUP + 2
    data = page.json("data")
    for image in data["images"]:
        for by in image["by"]:
            by["tiles"] = []
    taken = len(json.dumps(data, separators=(",", ":")))
    monkeypatch.setattr(pictures_module, "ROOM", taken + count * one + one // 2)


@pytest.mark.parametrize("room", [0, 1, 2, 3, 9])
def test_where_there_is_no_room_for_all_pictures_the_most_telling_are_kept(
    tmp_path, monkeypatch, room
):
    folder = write_run(tmp_path, [line(f"i{n}", scores={"iou": n / 10}) for n in range(9)])
    for n in range(9):
        picture(folder, "masks", f"i{n}", colour=(20 * n, 20 * n, 20 * n))
    give_room_for(room, folder, monkeypatch)
    page = Page(write_report(folder))
    telling = ["i0", "i8", "i1", "i7", "i2", "i6", "i3", "i5", "i4"]
    assert page.pictured == sorted(telling[:room])
    if room < 9:
        assert f"{room} of 9 images have their pictures in this page" in page.text
        assert f"the pictures of {9 - room} are left out" in page.text
    assert len(page.images) == 9


def test_images_without_scores_come_in_order(tmp_path, monkeypatch):
    folder = write_run(tmp_path, [line(f"i{n}") for n in (3, 1, 2)])
    for n in (1, 2, 3):
        picture(folder, "masks", f"i{n}", colour=(80 * n, 0, 0))
    give_room_for(2, folder, monkeypatch)
    page = Page(write_report(folder))
    assert page.pictured == ["i3", "i1"]
    assert "Distribution" not in page.text


def test_the_same_picture_of_an_image_is_kept_once(tmp_path):
    for recipe, colour in (("a", (9, 9, 9)), ("b", (9, 9, 9)), ("c", (200, 9, 9))):
        folder = write_run(tmp_path / "recipes" / recipe, [line("x")])
        picture(folder, "overlay", "x", colour=colour)
    page = Page(write_report(tmp_path))
    assert len(page.embedded) == 2
    same, also, other = (by["tiles"] for by in page.images["x"])
    assert same == also != other


def test_a_strip_is_cut_into_the_panels_that_it_names(tmp_path):
    folder = write_run(tmp_path, [line("a", files=["overlay/a.jpg"])])
    panels = [("photo", (200, 30, 30)), ("mask (IoU 0.91)", (30, 30, 200))]
    write_strip(folder / "overlay" / "a.jpg", panels)
    found = Page(write_report(folder)).pictures("a")
    assert [title for title, _ in found] == ["photo", "mask (IoU 0.91)"]
    for (_, small), (_, colour) in zip(found, panels, strict=True):
        assert small.size == (64, 48)
        assert np.abs(np.asarray(small, float) - colour).max() < 8  # nothing white beside it


def test_photo_and_mask_keep_more_than_what_stands_beside_them(tmp_path):
    folder = write_run(tmp_path, [line("a", files=["overlay/a.jpg"])])
    panels = [("image", (200, 30, 30)), ("heatmap", (9, 9, 9)), ("mask", (30, 30, 200))]
    roles = {"photo": 0, "mask": 2}
    write_strip(folder / "overlay" / "a.jpg", panels, (1000, 750), roles=roles)
    page = Page(write_report(folder))
    assert [p.size for _, p in page.pictures("a")] == [(640, 480), (320, 240), (640, 480)]
    assert [role for _, _, role in page.images["a"][0]["tiles"]] == ["photo", "", "mask"]


@pytest.mark.parametrize("roles", [3, [], {"photo": "x"}, {"photo": 7}, {"photo": None}])
def test_roles_that_make_no_sense_do_no_harm(tmp_path, roles):
    folder = write_run(tmp_path, [line("a", files=["overlay/a.jpg"])])
    write_strip(
        folder / "overlay" / "a.jpg", [("one", (9, 9, 9)), ("two", (0, 0, 99))], roles=roles
    )
    page = Page(write_report(folder))
    assert {role for _, _, role in page.images["a"][0]["tiles"]} == {""}


@pytest.mark.parametrize("size", [(480, 360), (960, 720), (2100, 1500)])
def test_large_panels_are_cut_where_they_are(tmp_path, size):
    folder = write_run(tmp_path, [line("a", files=["overlay/a.jpg"])])
    write_strip(folder / "overlay" / "a.jpg", [("one", (200, 30, 30)), ("two", (9, 9, 9))], size)
    for (_, small), colour in zip(
        Page(write_report(folder)).pictures("a"), ((200, 30, 30), (9, 9, 9)), strict=True
    ):
        assert small.width == 480
        assert np.abs(np.asarray(small, float) - colour).mean() < 4


@pytest.mark.parametrize(
    "comment",
    ["", "{", "[]", '{"panels": 3}', '{"panels": [["a", 0, 0, 9]]}', '{"panels": [[]]}',
     '{"panels": [["a", 0, 0, 9, 999]]}', '{"panels": [["a", 5, 5, 5, 9]]}',
     '{"panels": [["a", -1, 0, 5, 9]]}', '{"panels": [["a", "x", 0, 5, 9]]}'],
)  # fmt: skip
def test_a_strip_that_names_no_panels_of_its_own_stays_whole(tmp_path, comment):
    folder = write_run(tmp_path, [line("a", files=["overlay/a.jpg"])])
    write_strip(folder / "overlay" / "a.jpg", [("one", (9, 9, 9))] * 2, comment=comment)
    assert [s.size for _, s in Page(write_report(folder)).pictures("a")] == [(158, 92)]


def test_a_mask_of_16_bits_is_shown_in_its_classes_colours(tmp_path):
    """Those of the palette, which goes round after 256 classes."""
    ids = np.zeros((40, 60), np.uint16)
    ids[:20], ids[20:, :30] = 257, 2
    write_png(tmp_path / "masks/a.png", ids)
    write_run(tmp_path, [line("a", files=["masks/a.png"])])
    ((_, shown),) = Page(write_report(tmp_path)).pictures("a")
    colours = np.asarray(shown.convert("RGB")).astype(int)
    for (y, x), i in (((5, 10), 1), ((35, 10), 2), ((35, 50), 0)):
        near = colours[y * shown.height // 40, x * shown.width // 60]
        assert np.abs(near - palette()[i]).max() < 12
