"""The page of a run, a sweep and a diagnosis: what it shows, and that nothing foreign runs."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from toys import Best, Bright, Flood, Paint, Peak, Right, Squares

from segkit import Image, Labels, UsageError, Writer, palette, plan, run, write_png
from segkit.comparing.records import RecipeLosses
from segkit.reporting import charts, figure, recipe_in_words, write_report
from segkit.reporting import pictures as pictures_module
from segkit.running.recipe import Recipe

NASTY = "<b>&\"x'"
VOID_ELEMENTS = {"meta", "img", "br", "link", "input", "hr"}


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


class Page(HTMLParser):
    """A page taken apart: tags, attributes, text by tag; unbalanced tags fail."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.blocks: list[tuple[dict[str, str | None], str]] = []
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.blocks.append((dict(attrs), ""))
        if tag not in VOID_ELEMENTS:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("script", "style"):
            attrs, before = self.blocks[-1]
            self.blocks[-1] = attrs, before + data
        elif data.strip():
            self.texts.append(" ".join(data.split()))

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def text(self):
        return " ".join(self.texts)

    def json(self, name):
        return next(json.loads(text) for attrs, text in self.blocks if attrs.get("id") == name)

    @property
    def images(self):
        """Image name to what is known of it for each recipe."""
        return {image["name"]: image["by"] for image in self.json("data")["images"]}

    @property
    def pictured(self):
        """The names of the images whose pictures are in the page."""
        return [n for n, by in self.images.items() if any(one and one["tiles"] for one in by)]

    def pictures(self, name, place=0):
        """The pictures of an image and a recipe, with their titles."""
        found = []
        for title, number in self.images[name][place]["tiles"]:
            data, width, height = self.json("pictures-data")[number]
            picture = PIL.Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
            assert picture.format == "JPEG"
            assert picture.size == (width, height)
            found.append((title, picture))
        return found


def write_run(folder: Path, lines, *, summary=None, recipe=""):
    folder.mkdir(parents=True, exist_ok=True)
    rows = [r if isinstance(r, str) else json.dumps(r, ensure_ascii=False) for r in lines]
    (folder / "results.jsonl").write_text("".join(f"{r}\n" for r in rows), encoding="utf-8")
    if summary is not None:
        (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    if recipe:
        (folder / "recipe.toml").write_text(recipe, encoding="utf-8")
    return folder


def line(name, **more):
    files = [f"masks/{name}.png", f"overlay/{name}.png"]
    empty = {"status": "ok", "error": None, "scores": {}, "seconds": {}, "files": files}
    return {"name": name} | empty | more


def picture(folder, kind, name, size=(6, 8), colour=(10, 200, 30)):
    write_png(folder / kind / f"{name}.png", np.full((*size, 3), colour, np.uint8))


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
    assert [attrs.get("type") for attrs in page.all("script")] == ["application/json"] * 2 + [None]
    assert not [attrs for _, attrs in page.tags if {"src", "style", "onclick"} & attrs.keys()]
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


def test_large_pictures_shrink_and_strips_keep_more(tmp_path):
    folder = write_run(tmp_path, [line("photo"), line("strip")])
    picture(folder, "overlay", "photo", (600, 1000))
    picture(folder, "overlay", "strip", (300, 1500))
    page = Page(write_report(folder))
    assert page.pictures("photo")[0][1].size == (480, 288)
    assert page.pictures("strip")[0][1].size == (960, 192)


def test_masks_stand_in_for_overlays(tmp_path):
    folder = write_run(tmp_path, [line("one")])
    write_png(folder / "masks" / "one.png", np.full((5, 5), 1, np.uint8), palette())
    ((_, small),) = Page(write_report(folder)).pictures("one")
    red, green, blue = small.getpixel((2, 2))
    assert red > 100  # class 1 of the palette is dark red
    assert max(green, blue) < 20


CLASS_ROWS = [
    {"id": 0, "name": "background", "iou": 0.75, "dice": 0.8571, "pixels": 12345, "found": 9},
    {"id": 1, "name": NASTY, "iou": 0.25, "dice": 0.4, "pixels": 4},
]
MATRIX = {"names": ["background", NASTY, "other"], "pixels": [[9, 0, 3], [1, 3, 0]]}


def details_page(folder, details):
    summary = {"scores": {"iou": 0.5}, "details": details}
    return Page(write_report(write_run(folder, [line("a")], summary=summary)))


def test_a_table_per_class_where_a_metric_tells_one(tmp_path):
    details = {
        "counts": {"voc-miou": {"0/0": 9}},
        "voc-miou": {"classes": CLASS_ROWS, "confusion": MATRIX},
    }
    page = details_page(tmp_path, details)
    assert "Per class" in page.text
    assert "class IoU Dice pixels found background 0.7500 0.8571 12,345 9" in page.text
    assert f"{NASTY} 0.2500 0.4000 4 –" in page.text
    assert f"truth pixels background {NASTY} other" in page.text
    assert f"background 12 0.750 0 0.250 {NASTY} 4 0.250 0.750 0" in page.text
    assert NASTY not in page.source
    rows, matrix = page.all("details")[:2]
    assert "open" in rows
    assert "open" not in matrix


def test_many_classes_are_folded_away(tmp_path):
    for count, unfolded in ((25, True), (26, False)):
        rows = [{"name": f"class {i}", "iou": 0.5} for i in range(count)]
        page = details_page(tmp_path / str(count), {"mine": {"classes": rows}})
        assert ("open" in page.all("details")[0]) == unfolded


def test_one_table_alone(tmp_path):
    rows = details_page(tmp_path / "rows", {"mine": {"classes": CLASS_ROWS}})
    assert "Per class" in rows.text
    assert "Confusion" not in rows.text
    matrix = details_page(tmp_path / "matrix", {"mine": {"confusion": MATRIX}})
    assert "Per class" not in matrix.text
    assert "Confusion matrix" in matrix.text


def test_a_class_without_pixels_has_no_row_in_the_matrix(tmp_path):
    matrix = {"names": ["a", "b"], "pixels": [[0, 0], [1, 3]]}
    page = details_page(tmp_path, {"mine": {"confusion": matrix}})
    assert "truth pixels a b b 4 0.250 0.750" in page.text


@pytest.mark.parametrize(
    "details",
    [
        None, [], {"m": None}, {"m": {}}, {"m": {"classes": [{"iou": 1}]}}, {"m": {"classes": 3}},
        {"m": {"confusion": {"names": ["a"], "pixels": [[1, 2]]}}},
        {"m": {"confusion": {"names": ["a"], "pixels": [[1], [2]]}}},
        {"m": {"confusion": {"pixels": [["x"]]}}},
    ],
)  # fmt: skip
def test_details_that_are_no_tables_are_left_out(tmp_path, details):
    page = details_page(tmp_path, details)
    assert "Per class" not in page.text
    assert "Confusion" not in page.text
    assert "iou 0.5000" in page.text


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
    assert len(page.all("script")) == 3
    assert page.all("img") == []
    assert page.json("data")["failures"] == [error]
    assert name in page.images
    for attrs, text in page.blocks:
        if attrs.get("type") == "application/json":
            assert not set("<>&") & set(text)


def give_room_for(count, folder, monkeypatch):
    """Room for so many pictures, all alike in size, and half of another."""
    page = Page(write_report(folder))
    one = max(len(data) for data, _, _ in page.json("pictures-data")) + 24
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


def test_the_same_picture_is_kept_once(tmp_path):
    folder = write_run(tmp_path, [line("a"), line("b"), line("c")])
    for name, colour in (("a", (9, 9, 9)), ("b", (9, 9, 9)), ("c", (200, 9, 9))):
        picture(folder, "overlay", name, colour=colour)
    page = Page(write_report(folder))
    assert len(page.json("pictures-data")) == 2
    assert page.images["a"][0]["tiles"] == page.images["b"][0]["tiles"]


def write_strip(path, panels, size=(64, 48), comment=None):
    """A row of plain panels, 10 pixels apart, whose JPEG comment says where each is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    strip = PIL.Image.new("RGB", (10 + len(panels) * (size[0] + 10), size[1] + 44), "white")
    boxes = []
    for i, (title, colour) in enumerate(panels):
        box = (10 + i * (size[0] + 10), 34)
        box += (box[0] + size[0], box[1] + size[1])
        strip.paste(colour, box)
        boxes.append([title, *box])
    text = json.dumps({"panels": boxes}) if comment is None else comment
    strip.save(path, "JPEG", quality=90, subsampling=0, comment=b"segkit " + text.encode())


def test_a_strip_is_cut_into_the_panels_that_it_names(tmp_path):
    folder = write_run(tmp_path, [line("a", files=["overlay/a.jpg"])])
    panels = [("photo", (200, 30, 30)), ("mask (IoU 0.91)", (30, 30, 200))]
    write_strip(folder / "overlay" / "a.jpg", panels)
    found = Page(write_report(folder)).pictures("a")
    assert [title for title, _ in found] == ["photo", "mask (IoU 0.91)"]
    for (_, small), (_, colour) in zip(found, panels, strict=True):
        assert small.size == (64, 48)
        assert np.abs(np.asarray(small, float) - colour).max() < 8  # nothing white beside it


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
    assert page.json("pictures-data") == []
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


def test_scores_are_explained_by_their_metric(tmp_path):
    recipe = '[[metric]]\nname = "iou"\n[[metric]]\nname = "hit-rate"\n'
    recipe += '[[metric]]\nname = "gone:strange"\n'
    scores = {"iou": 0.5, "hit-rate": 1.0, "hit-rate-background": 0.25, "strange": 12345.678}
    folder = write_run(tmp_path, [line("a")], summary={"scores": scores}, recipe=recipe)
    text = Page(write_report(folder)).text
    assert "iou 0.5000 Intersection over union of the foreground" in text
    assert "hit-rate-background 0.2500 Share of foreground points on the object" in text
    assert "strange 12,345.68" in text


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
    with pytest.raises(OSError, match="No space left"):
        write_report(real_run)
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


def test_a_recipe_in_words():
    recipe = Recipe.from_dict(
        {
            "dataset": [{"name": "files"}],
            "prompt": [{"name": "topk"}, {"name": "boxes", "merge": True}, {"name": "maxmin"}],
            "segmenter": [{"name": "sam"}],
            "transform": [],
            "metric": [{"name": "iou"}],
        }
    )
    assert recipe_in_words(recipe) == "files → topk + boxes, maxmin → sam"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.86123, "0.8612"), (1, "1.0000"), (87.4321, "87.43"), (float("nan"), "–"),
     (float("inf"), "inf"), (-0.5, "-0.5000")],
)  # fmt: skip
def test_figures(value, text):
    assert figure(value) == text


def test_a_figure_has_its_unit():
    assert figure(12.987, "px") == "12.99 px"
    assert figure(0.0359) == "0.0359"


AWAY = {
    "scores": {"away": 12.5, "iou": 0.5},
    "figures": {
        "away": {"lower_is_better": True, "unit": "mm"},
        "iou": {"lower_is_better": False, "unit": ""},
    },
}


def test_a_page_reads_figures_as_the_summary_declares_them(tmp_path):
    rows = [line(f"i{n}", scores={"away": n + 0.5}) for n in range(3)]
    page = Page(write_report(write_run(tmp_path, rows, summary=AWAY)))
    assert "away 12.50 mm" in page.text
    assert page.json("data")["up"] is False
    assert page.json("data")["images"][1]["by"][0]["scores"] == "away 1.50 mm"


@pytest.mark.parametrize("summary", [None, {"scores": {"distance": 12.5}}])
def test_without_them_the_metrics_are_asked(tmp_path, summary):
    """Of a run that goes on, and in a folder of an older version."""
    rows = [line("a", scores={"distance": 12.5, "gone": 3.0})]
    recipe = '[[metric]]\nname = "distance"\n\n[[metric]]\nname = "gone"\n'
    page = Page(write_report(write_run(tmp_path, rows, summary=summary, recipe=recipe)))
    assert page.json("data")["images"][0]["by"][0]["scores"] == "distance 12.50 px · gone 3.00"
    assert page.json("data")["up"] is False


def test_the_steps_show_their_options(tmp_path):
    recipe = """
[[dataset]]
name = "files"
paths = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]

[[saliency]]
name = "gradcam"
layer = ""
mean = []
some_flag = true
zero = 0
"""
    text = Page(write_report(write_run(tmp_path, [line("a")], recipe=recipe))).text
    assert "files paths a.jpg, b.jpg, c.jpg, … (4)" in text
    assert "saliency gradcam some-flag yes zero 0" in text
    assert "layer" not in text.partition("Recipe")[0]


# ---- sweeps and diagnoses ---------------------------------------------------------------------


def estimate(mean, half=0.01):
    return {"mean": mean, "low": mean - half, "high": mean + half}


BOARD = {
    "metric": "iou",
    "higher_is_better": True,
    "images": 3,
    "caution": "36 pairs were compared: about 2 of them would seem to differ by chance",
    "rows": [
        {
            "recipe": "grid",
            "options": {"prompt": "centroid-grid"},
            "words": "shapes > gradcam > centroid-grid > sam",
            "scores": {"distance": estimate(12.5, 2), "iou": estimate(0.8)},
            "seconds": {"sam": 0.2, "gradcam": 0.1},
            "images": 3,
            "failed": 0,
            "verdict": "grid beats topk by 0.100 ± 0.020 iou",
        },
        {"recipe": "topk", "scores": {"iou": estimate(0.7), "distance": {"mean": None}}},
    ],
    "pairs": [
        {"better": "grid", "worse": "topk", "metric": "iou", "difference": 0.1, "low": 0.08,
         "high": 0.12, "distinguishable": True, "sentence": "grid beats topk by a tenth"},
        {"better": "grid", "worse": "gone"},
    ],
    "skipped": [{"recipe": "box", "reason": "box needs 'heatmap', and nothing makes one"}],
}  # fmt: skip

PARTS = {"selection": 0.05, "prompt": 0.1, "segmenter": 0.05, "saliency": 0.12, "placement": -0.02}

DIAGNOSIS = {
    "images": 3,
    "recipes": [
        {"recipe": "grid", "iou": 0.8, "best_candidate": 0.85, "true_point": 0.95,
         "true_box": None, "intervals": {"selection": [0.03, 0.07]},
         "reading": "grid loses most to the saliency. Try another layer.", **PARTS},
    ],
    "rows": [
        {"name": f"i{n}", "recipe": "grid", "iou": n / 10, "best_candidate": n / 10,
         "true_point": 1, "true_box": 1, "selection": 0, "prompt": 1 - n / 10, "segmenter": 0,
         "cause": "saliency" if n % 2 else "placement"}
        for n in (2, 0, 1)
    ],
}  # fmt: skip


SUMMARY = {
    "scores": {"iou": 0.5},
    "figures": {"distance": {"lower_is_better": True, "unit": "px"}},
}


def write_sweep(folder, recipes=("topk", "grid"), board=BOARD, diagnosis=None, **more):
    """Runs with three images; grid is best at i0 and topk at i2."""
    for place, recipe in enumerate(recipes):
        rows = [line(f"i{n}", scores={"iou": abs(n - 2 * place) / 2}) for n in range(3)]
        write_run(folder / "recipes" / recipe, rows, summary=SUMMARY, **more)
    for name, found in (("leaderboard", board), ("diagnosis", diagnosis)):
        if found is not None:
            (folder / f"{name}.json").write_text(
                found if isinstance(found, str) else json.dumps(found), encoding="utf-8"
            )
    return folder


def test_a_sweep_has_its_leaderboard(tmp_path):
    page = Page(write_report(write_sweep(tmp_path, recipe='[[dataset]]\nname = "shapes"\n')))
    assert "2 recipes compared" in page.text
    assert "3 images" in page.text
    assert "grid comes first, with iou 0.8000. grid beats topk by 0.100" in page.text
    assert "1 grid shapes > gradcam > centroid-grid > sam prompt centroid-grid 0.8000" in page.text
    assert "0.7900 to 0.8100" in page.text
    assert "12.50 px" in page.text
    assert "0.300 0 12.50 px" in page.text  # seconds, failed, and then the other metrics
    assert "box : box needs 'heatmap', and nothing makes one" in page.text
    assert "36 pairs were compared" in page.text
    assert "grid beats topk by a tenth" in page.text
    assert page.json("data")["recipes"] == ["grid", "topk"]  # the best first
    assert "segkit run --recipe recipes/NAME/recipe.toml" in page.text


def test_intervals_are_drawn_on_one_scale(tmp_path):
    page = Page(write_report(write_sweep(tmp_path)))
    drawn = [attrs["d"] for attrs in page.all("path") if attrs.get("class") == "whisker"]
    first, _, other = drawn  # iou and distance of grid, iou of topk
    assert first.startswith("M83.33 7H100.0")  # 0.79 … 0.81 on 0.69 … 0.81
    assert other.startswith("M0.0 7H16.67")
    points = [attrs["d"] for attrs in page.all("path") if attrs.get("class") == "point"]
    assert points[0] == "M91.67 7h0"


def test_figures_sort_by_their_value(tmp_path):
    page = Page(write_report(write_sweep(tmp_path)))
    heads = [h for h in page.all("th") if h.get("data-kind")]
    first = {"scope": "col", "class": "number", "data-kind": "number", "aria-sort": "ascending"}
    assert heads[0] == first
    assert [h.get("data-first") for h in heads[2:6]] == ["descending", None, None, "ascending"]
    cells = [float(c["data-value"]) for c in page.all("td") if "first" in c.get("class", "")]
    assert cells == [0.8, 0.7]


@pytest.mark.parametrize(
    "board",
    [{"rows": [{"recipe": "grid"}]}, {"rows": []}, {"rows": [{"recipe": "gone", "scores": {}}]},
     {"rows": [{"recipe": "grid", "scores": {"iou": {"mean": None, "low": None}}}]}, None],
)  # fmt: skip
def test_a_leaderboard_may_lack_almost_everything(tmp_path, board):
    text = Page(write_report(write_sweep(tmp_path, board=board))).text
    assert "compared" in text
    assert ("comes first" in text) == bool(board and board["rows"])
    assert "damaged" not in text


@pytest.mark.parametrize("board", ["", "{", "[]", "{}", '{"rows": 3}', '{"rows": [{}]}'])
def test_a_damaged_leaderboard_or_diagnosis_is_named(tmp_path, board):
    text = Page(write_report(write_sweep(tmp_path, board=board, diagnosis=board))).text
    assert "leaderboard.json is damaged and is left out." in text
    assert "diagnosis.json is damaged and is left out." in text
    assert "2 recipes compared" in text


def test_names_in_a_sweep_are_escaped(tmp_path):
    board = json.loads(json.dumps(BOARD).replace('"grid"', json.dumps(NASTY)))
    board["skipped"][0]["reason"] = NASTY
    board["rows"][0] |= {"verdict": NASTY, "words": NASTY, "options": {NASTY: NASTY}}
    diagnosis = json.loads(json.dumps(DIAGNOSIS).replace('"grid"', json.dumps(NASTY)))
    diagnosis["recipes"][0]["reading"] = diagnosis["rows"][0]["name"] = NASTY
    page = Page(write_report(write_sweep(tmp_path, board=board, diagnosis=diagnosis)))
    assert page.text.count(NASTY) > 9
    assert NASTY not in page.source


def test_an_unfinished_sweep_says_what_it_waits_for(tmp_path):
    folder = write_sweep(tmp_path, board=None)
    (folder / "recipes" / "topk" / "summary.json").unlink()
    text = Page(write_report(folder)).text
    assert "Not finished: topk." in text
    assert "segkit sweep … --resume" in text


def test_a_sentence_of_several_recipes_stands_once(tmp_path):
    folder = write_sweep(tmp_path)
    torn = line("x", status="failed", error="'x' is torn")
    write_run(folder / "recipes" / "grid", [torn, line("y", status="failed", error="too dark")])
    write_run(folder / "recipes" / "topk", [torn, line("y")])
    text = Page(write_report(folder)).text
    assert "2 images in" in text
    assert "2 failed" in text
    assert "x all 'x' is torn y grid too dark" in text


def test_recipes_share_their_pictures(tmp_path):
    folder = write_sweep(tmp_path)
    for recipe, colour in (("grid", (200, 30, 30)), ("topk", (30, 30, 200))):
        rows = [line("a", files=["overlay/a.jpg"], scores={"iou": 0.5})]
        write_run(folder / "recipes" / recipe, rows)
        panels = [("photo", (9, 99, 9)), ("mask", colour), ("truth", (99, 9, 99))]
        write_strip(folder / "recipes" / recipe / "overlay" / "a.jpg", panels)
    page = Page(write_report(folder))
    grid, topk = (by["tiles"] for by in page.images["a"])
    assert [title for title, _ in grid] == ["photo", "mask", "truth"]
    assert [a == b for a, b in zip(grid, topk, strict=True)] == [True, False, True]
    assert len(page.json("pictures-data")) == 4
    links = [by["link"] for by in page.images["a"]]
    assert links == ["recipes/grid/overlay/a.jpg", "recipes/topk/overlay/a.jpg"]


def test_a_diagnosis_has_waterfalls_figures_and_the_worst_images(tmp_path):
    page = Page(write_report(write_sweep(tmp_path, diagnosis=DIAGNOSIS)))
    assert "Where the IoU was lost" in page.text
    assert "grid loses most to the saliency. Try another layer." in page.text
    (label,) = (a["aria-label"] for a in page.all("svg") if "perfect" in a.get("aria-label", ""))
    assert label == (
        "grid: perfect 1.000, segmenter 0.050, prompt: placement -0.020, "
        "prompt: saliency 0.120, selection 0.050, IoU 0.800"
    )
    figures = "0.8000 0.0500 0.0300 to 0.0700 0.1000 0.1200 -0.0200 0.0500 0.8500 0.9500 –"
    assert f"grid {figures}" in page.text
    worst = [a["data-open"] for a in page.all("button") if a.get("data-open")]
    assert worst == ["i0", "i1", "i2"]
    gains = [a for a in page.all("rect") if "gain" in (a.get("class") or "")]
    assert [a["class"] for a in gains] == ["placement gain"]


def test_a_diagnosis_alone_has_a_page(tmp_path):
    (tmp_path / "diagnosis.json").write_text(json.dumps(DIAGNOSIS))
    page = Page(write_report(tmp_path))
    assert "1 recipe compared" in page.text
    assert "grid loses most to the saliency." in page.text


def losses(**parts):
    found = {**dict.fromkeys(("selection", "prompt", "segmenter", "saliency", "placement"), 0.0)}
    found |= parts
    return RecipeLosses(recipe="a", iou=1 - sum(found.values()) + found["prompt"], **found)


@pytest.mark.parametrize(
    "parts",
    [{}, {"segmenter": 0.3, "selection": 0.1}, {"segmenter": 1.0}, {"segmenter": -0.2},
     {"segmenter": 0.5, "placement": -0.25, "saliency": 0.125, "selection": 0.25}],
)  # fmt: skip
def test_each_bar_of_a_waterfall_begins_where_the_last_one_ended(parts):
    found = losses(**parts)
    scale = charts.waterfall_scale([found], 300)
    bars = charts.waterfall(found, scale)
    assert [b.part for b in bars] == [
        "whole", "segmenter", "placement", "saliency", "selection", "iou",
    ]  # fmt: skip
    for before, bar in pairwise(bars[:-1]):
        ends = {round(bar.x, 1), round(bar.x + bar.width, 1)}
        assert ends == {round(before.end, 1), round(bar.end, 1)}
    assert bars[-2].end == pytest.approx(bars[-1].end, abs=0.02)
    assert all(b.x >= 0 and b.x + b.width <= 300.01 for b in bars)


def test_small_losses_are_drawn_large():
    near = charts.waterfall_scale([losses(segmenter=0.05)], 300)
    assert (near.low, near.high) == (0.9, 1.0)
    far = charts.waterfall_scale([losses(segmenter=0.05), losses(segmenter=0.6)], 300)
    assert (far.low, far.high) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0123, "+0.012"), (-0.05, "−0.050"), (0, "0.000"), (-0.0004, "0.000")]
)
def test_changes_bear_their_sign(value, text):
    assert charts.signed(value) == text


def test_a_histogram_counts_every_image():
    values = [0.0, 0.049, 0.05, 0.5, 0.96, 1.0, 1.0, float("nan")]
    (one, other), low, high = charts.histograms([("a", values), ("none", []), ("b", [0.5])])
    assert (low, high) == (0.0, 1.0)
    assert [bar.label for bar in one.bars] == [
        "0.00 to 0.05: 2 images", "0.05 to 0.10: 1 image", "0.50 to 0.55: 1 image",
        "0.95 to 1.00: 3 images",
    ]  # fmt: skip
    assert one.count == 7
    assert one.quantiles == pytest.approx(np.quantile(values[:-1], [0, 0.25, 0.5, 0.75, 1]))
    assert one.mean == pytest.approx(np.mean(values[:-1]))
    assert other.bars[0].height == 44  # all of its images
    assert one.bars[-1].height == pytest.approx(44 * 3 / 7, abs=0.01)


def test_a_histogram_of_large_figures_has_their_scale():
    (one,), low, high = charts.histograms([("a", [3.0, 12.0, 40.0])])
    assert (low, high) == (3.0, 40.0)
    assert 0 < one.median_x < 100
    (same,), low, high = charts.histograms([("a", [7.0, 7.0])])
    assert (low, high) == (6.5, 7.5)
    assert [(bar.x, bar.label) for bar in same.bars] == [(150.5, "7.00 to 7.05: 2 images")]
    assert same.median_x == 150


def test_values_at_the_end_of_a_bin_count_for_the_next_one():
    (one,), *_ = charts.histograms([("a", [i / 20 for i in range(20)])])
    assert [bar.label for bar in one.bars] == [
        f"{i / 20:.2f} to {(i + 1) / 20:.2f}: 1 image" for i in range(20)
    ]


@pytest.mark.parametrize("count", [1, 1000])
def test_pages_of_any_size_stay_small(count):
    widths = [pictures_module.panel_width(count * (4 + recipes)) for recipes in range(1, 20)]
    assert widths == sorted(widths, reverse=True)
    assert all(176 <= width <= 480 for width in widths)
