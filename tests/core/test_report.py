"""The page of a run: whole, harmless, and there whatever has been damaged."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from report_toys import NASTY, Page, line, picture, write_run
from toys import Best, Bright, Flood, Paint, Peak, Right, Squares

from segkit import Image, Labels, SegkitError, UsageError, Writer, palette, plan, run, write_png
from segkit.reporting import write_report


class Overlays(Writer):
    """Palette masks, and overlays twice as large."""

    name = "overlays"
    only_masks: bool = False

    def write(self, directory: Path, image: Image, labels: Labels) -> tuple[Path, ...]:
        ids = labels.ids.astype(np.uint8)
        mask = directory / "masks" / f"{image.name}.png"
        write_png(mask, ids, palette())
        if self.only_masks:
            return (mask,)
        overlay = directory / "overlay" / f"{image.name}.png"
        write_png(overlay, np.kron(image.pixels, np.ones((2, 2, 1), np.uint8)))
        return mask, overlay


@pytest.fixture(scope="module")
def real_run(tmp_path_factory):
    """The folder of a real run of toys, in which two of five images cannot be read."""
    folder = tmp_path_factory.mktemp("run") / "out"
    steps = [Squares(bad=(1, 3)), Bright(), Peak(), Flood(), Best(), Paint(), Right(), Overlays()]
    run({"run": plan(steps)}, folder)
    return folder


def test_a_real_run_becomes_one_whole_page(real_run):
    path = write_report(real_run)
    assert path == real_run / "report.html"
    page = Page(path)
    assert len(page.all("h1")) == 1
    assert page.all("html") == [{"lang": "en"}]
    assert "squares → bright → peak → flood → best → brush" in page.text
    assert "5 images, 2 failed" in page.text
    assert "square-1: the file is torn; replace it" in page.text
    score = json.loads((real_run / "summary.json").read_text())["scores"]["right"]
    assert f"right {score:.4f}" in page.text
    assert "flood.encode" in page.text
    assert (real_run / "recipe.toml").read_text() in html.unescape(page.source)


def test_the_page_needs_no_network_and_runs_only_its_own_script(real_run):
    page = Page(write_report(real_run))
    assert [attrs.get("type") for attrs in page.all("script")] == ["application/json", None]
    assert not [attrs for _, attrs in page.tags if {"style", "onclick"} & attrs.keys()]
    sources = [attrs["src"] for _, attrs in page.tags if "src" in attrs]
    assert len(sources) == 3
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert page.all("link") == []
    assert "http:" not in page.source
    assert "https:" not in page.source
    assert "url(" not in page.source
    assert "prefers-color-scheme: dark" in page.source
    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m).split("; ")
    assert policy[:2] == ["default-src 'none'", "img-src data:"]
    style, script = (text for attrs, text in page.blocks if "type" not in attrs)
    for directive, text in (("style-src", style), ("script-src", script)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy


def test_links_lead_to_files_beside_the_page(real_run):
    links = [by["link"] for (by,) in Page(write_report(real_run)).images.values()]
    assert len([link for link in links if link]) == 3
    assert all((real_run / link).is_file() for link in links if link)


def test_pictures_are_the_overlays_made_small(real_run):
    page = Page(write_report(real_run))
    ((title, small),) = page.pictures("square-0")
    assert (title, small.size) == ("", (32, 24))
    full = PIL.Image.open(real_run / "overlay" / "square-0.png").convert("RGB")
    difference = np.abs(np.asarray(small, float) - np.asarray(full, float))
    assert difference.mean() < 12
    assert page.pictured == ["square-0", "square-2", "square-4"]


def test_masks_stand_in_for_overlays(tmp_path):
    folder = write_run(tmp_path, [line("one")])
    write_png(folder / "masks" / "one.png", np.full((5, 5), 1, np.uint8), palette())
    ((_, small),) = Page(write_report(folder)).pictures("one")
    red, green, blue = small.getpixel((2, 2))
    assert red > 100  # class 1 of the palette is dark red
    assert max(green, blue) < 20


def test_names_and_sentences_are_escaped(tmp_path):
    lines = [
        line(NASTY, scores={"iou": 0.5, NASTY: 0.25}, seconds={NASTY: 1.0}),
        line(
            f"{NASTY}-2", status="failed", error=f"'{NASTY}' is no image <script>alert(1)</script>"
        ),
    ]
    recipe = f"[[dataset]]\nname = '''{NASTY}'''\npaths = ['''{NASTY}''']\n"
    folder = write_run(tmp_path, lines, summary={"scores": {NASTY: 0.5}}, recipe=recipe)
    picture(folder, "overlay", NASTY)
    page = Page(write_report(folder))
    assert NASTY in page.text  # as text …
    assert NASTY not in page.source  # … and nowhere as it came
    assert "<script>alert" not in page.source
    (by,) = page.images[NASTY]
    assert by["link"] == "overlay/%3Cb%3E%26%22x%27.png"
    assert by["scores"] == f"iou 0.5000 · {NASTY} 0.2500"
    assert len(page.pictures(NASTY)) == 1


@pytest.mark.parametrize("name", ["</script><img src=x onerror=alert(1)>", "<!--<script>", "&lt;"])
def test_data_for_the_script_cannot_end_its_element(tmp_path, name):
    error = f"'{name}' is torn"
    rows = [line("a", scores={name: 0.5}), line(name, status="failed", error=error)]
    page = Page(write_report(write_run(tmp_path, rows, summary={"scores": {name: 1}})))
    assert len(page.all("script")) == 2
    assert page.all("img") == []
    assert page.json("data")["failures"] == [error]
    assert name in page.images
    for attrs, text in page.blocks:
        if attrs.get("type") == "application/json":
            assert not set("<>&") & set(text)


@pytest.mark.parametrize(
    "file",
    ["../secret.png", "overlay/../../secret.png", "{outside}/secret.png", "secret.png", "overlay",
     "overlay/a\0b.png", "overlay/gone.png", 3, ""],
)  # fmt: skip
def test_nothing_outside_of_its_folders_is_shown(tmp_path, file):
    file = file.format(outside=tmp_path) if isinstance(file, str) else file
    folder = write_run(tmp_path / "run", [line("a", files=[file])])
    (folder / "overlay").mkdir()
    picture(tmp_path, ".", "secret")
    picture(folder, ".", "secret")
    page = Page(write_report(folder))
    assert page.embedded == {}
    assert page.cards == []
    assert "this run has written neither overlays nor masks" in page.text


def test_a_writer_may_choose_another_format_and_name(tmp_path):
    folder = write_run(tmp_path, [line("a/b", files=["overlay/a_b.jpg"])])
    (folder / "overlay").mkdir()
    PIL.Image.new("RGB", (9, 7)).save(folder / "overlay" / "a_b.jpg")
    assert [p.size for _, p in Page(write_report(folder)).pictures("a/b")] == [(9, 7)]


def test_a_damaged_picture_is_named(tmp_path):
    folder = write_run(tmp_path, [line("torn"), line("whole")])
    picture(folder, "overlay", "whole")
    (folder / "overlay" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")
    page = Page(write_report(folder))
    assert page.pictured == ["whole"]
    assert "The picture overlay/torn.png could not be read." in page.text


@pytest.mark.parametrize(
    "bad",
    ['{"name": "cut', "[1, 2]", '{"name": 3, "status": "ok"}', '{"name": "x"}', "\x00",
     '{"name": "x", "status": "ok", "scores": {"iou": "high"}}',
     '{"name": "x", "status": "ok", "seconds": 3}', '{"name": "x", "status": "ok", "files": 3}'],
)  # fmt: skip
def test_a_corrupted_line_is_skipped_and_counted(tmp_path, bad):
    folder = write_run(tmp_path, [line("first"), bad, line("last")])
    text = Page(write_report(folder)).text
    assert "2 images" in text
    assert "1 line of results.jsonl could not be read and is left out." in text


def test_line_separators_inside_names_do_not_end_a_line(tmp_path):
    folder = write_run(tmp_path, [line("a\u2028b"), line("c\x85d")])
    text = Page(write_report(folder)).text
    assert "2 images, none failed" in text
    assert "left out" not in text


def test_names_that_are_no_text_do_not_break_the_page(tmp_path):
    lines = [
        line("x\udcff", status="failed", error="'x\udcff' is torn"),
        line("\ud800", files=["overlay/\ud800.png"]),  # can be no file's name
    ]
    page = Page(write_report(write_run(tmp_path, [json.dumps(one) for one in lines])))
    assert "'x?' is torn" in page.text


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have text as file names")
def test_a_picture_whose_name_is_no_text_is_shown(tmp_path):
    folder = write_run(tmp_path, [json.dumps(line("x\udcff"))])
    picture(folder, "overlay", "x\udcff")
    page = Page(write_report(folder))
    assert page.images["x\udcff"][0]["link"] == "overlay/x%FF.png"
    assert page.pictured == ["x\udcff"]


def test_an_unfinished_run_has_a_page(tmp_path):
    lines = [line("a", seconds={"sam": 2.0}), line("b", seconds={"sam": 4.0})]
    text = Page(write_report(write_run(tmp_path, lines))).text
    assert "This run has not finished (no summary.json), so it has no scores yet." in text
    assert "sam 6.00 3.0000" in text
    assert "recipe.toml is not in the folder, or cannot be read." in text


@pytest.mark.parametrize("content", ["", "{", "[]", '{"scores": 3}', "\xff"])
def test_a_damaged_summary_or_recipe_is_left_out(tmp_path, content):
    folder = write_run(tmp_path, [line("a")])
    (folder / "summary.json").write_bytes(content.encode("latin-1"))
    (folder / "recipe.toml").write_bytes(b"[[[\xff")
    text = Page(write_report(folder)).text
    assert "This run has not finished" in text
    assert "recipe.toml is not in the folder, or cannot be read." in text


def test_a_new_page_replaces_the_old_one(real_run):
    path = real_run / "report.html"
    path.write_text("old")
    write_report(real_run)
    assert path.read_text().startswith("<!DOCTYPE html>")
    assert [p.name for p in real_run.iterdir() if p.name.startswith(".")] == []


def test_the_old_page_stays_where_a_new_one_cannot_be_written(real_run, monkeypatch):
    path = write_report(real_run)
    before = path.read_text()

    def full(self, *_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(SegkitError) as info:
        write_report(real_run)
    assert str(info.value) == (
        f"{path} could not be written (the disk is full); make room, and write it by segkit report "
        f"{real_run}"
    )
    assert path.read_text() == before


def test_sentences_for_folders_that_hold_no_run(tmp_path):
    def sentence(folder):
        with pytest.raises(UsageError) as info:
            write_report(folder)
        return str(info.value)

    missing = tmp_path / "missing"
    assert sentence(missing) == (
        f"there is no folder '{missing}'; name the one that segkit run has written"
    )
    assert sentence(tmp_path) == (
        f"'{tmp_path}' holds no results.jsonl, so it is no run of segkit; "
        "name the folder that segkit run or segkit sweep has written"
    )
    (tmp_path / "recipe.toml").touch()
    assert sentence(tmp_path) == (
        f"the run in '{tmp_path}' has not finished an image yet (no results.jsonl); "
        "go on with it by segkit run --resume"
    )
    (tmp_path / "recipes" / "one").mkdir(parents=True)
    (tmp_path / "recipes" / "one" / "recipe.toml").touch()
    assert sentence(tmp_path) == (
        f"the sweep in '{tmp_path}' has not finished an image yet (no results.jsonl); "
        "go on with it by segkit sweep --resume"
    )
