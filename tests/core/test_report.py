"""The page of a run: what it shows, what it leaves out, and that nothing in it runs."""

from __future__ import annotations

import base64
import html
import io
import json
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from toys import Best, Bright, Flood, Paint, Peak, Right, Squares

from segkit import Image, Labels, UsageError, Writer, palette, plan, run, write_png
from segkit import report as report_module
from segkit.recipe import Recipe
from segkit.report import figure, recipe_in_words, write_report

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
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID_ELEMENTS:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip() and self.open[-1] != "style":
            self.texts.append(" ".join(data.split()))

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def text(self):
        return " ".join(self.texts)


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


def thumbnails(page):
    pictures = []
    for image in page.all("img"):
        head, _, data = image["src"].partition(",")
        assert head == "data:image/jpeg;base64"
        pictures.append(PIL.Image.open(io.BytesIO(base64.b64decode(data, validate=True))))
    return pictures


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


def test_the_page_needs_no_network_and_no_script(real_run):
    page = Page(write_report(real_run))
    assert page.all("script") == []
    assert page.all("link") == []
    assert all(image["src"].startswith("data:") for image in page.all("img"))
    assert "http:" not in page.source
    assert "https:" not in page.source
    assert "url(" not in page.source
    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert policy.startswith("default-src 'none'")
    assert "prefers-color-scheme: dark" in page.source


def test_links_lead_to_files_beside_the_page(real_run):
    links = [a["href"] for a in Page(write_report(real_run)).all("a")]
    assert len(links) == 3
    assert all((real_run / link).is_file() for link in links)


def test_thumbnails_are_the_overlays_made_small(real_run):
    page = Page(write_report(real_run))
    first, *_ = thumbnails(page)
    assert first.size == (32, 24)
    full = PIL.Image.open(real_run / "overlay" / "square-0.png").convert("RGB")
    difference = np.abs(np.asarray(first, float) - np.asarray(full, float))
    assert difference.mean() < 12
    assert [image["alt"] for image in page.all("img")] == [
        "Overlay of square-0",
        "Overlay of square-2",
        "Overlay of square-4",
    ]


def test_large_pictures_shrink_and_strips_keep_more(tmp_path):
    folder = write_run(tmp_path, [line("photo"), line("strip")])
    picture(folder, "overlay", "photo", (600, 1000))
    picture(folder, "overlay", "strip", (300, 1500))
    page = Page(write_report(folder))
    assert [p.size for p in thumbnails(page)] == [(480, 288), (960, 192)]
    assert [f.get("class") for f in page.all("figure")] == [None, "strip"]
    assert [(i["width"], i["height"]) for i in page.all("img")] == [("480", "288"), ("960", "192")]


def test_masks_stand_in_for_overlays(tmp_path):
    folder = write_run(tmp_path, [line("one")])
    write_png(folder / "masks" / "one.png", np.full((5, 5), 1, np.uint8), palette())
    page = Page(write_report(folder))
    (thumbnail,) = thumbnails(page)
    assert page.all("img")[0]["alt"] == "Mask of one"
    red, green, blue = thumbnail.getpixel((2, 2))
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
    assert not page.all("script")
    assert NASTY in page.text  # as text …
    assert NASTY not in page.source  # … and nowhere as it came
    assert "<script>" not in page.source
    assert page.all("img")[0]["alt"] == f"Overlay of {NASTY}"
    assert page.all("a")[0]["href"] == "overlay/%3Cb%3E%26%22x%27.png"


def test_the_worst_come_first(tmp_path):
    rated = {"good": 0.9, "bad": 0.1, "middling": 0.5}
    lines = [line("unrated"), *(line(n, scores={"iou": v}) for n, v in rated.items())]
    folder = write_run(tmp_path, lines)
    for name in ("unrated", *rated):
        picture(folder, "overlay", name)
    page = Page(write_report(folder))
    names = [i["alt"].removeprefix("Overlay of ") for i in page.all("img")]
    assert names == ["bad", "middling", "good", "unrated"]
    assert "Lowest IoU first" in page.text
    assert "bad iou 0.1000" in page.text


def test_of_many_pictures_the_worst_and_the_best_are_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(report_module, "THUMBNAILS", 4)
    folder = write_run(tmp_path, [line(f"i{n}", scores={"iou": n / 10}) for n in range(9)])
    for n in range(9):
        picture(folder, "masks", f"i{n}")
    page = Page(write_report(folder))
    names = [i["alt"].removeprefix("Mask of ") for i in page.all("img")]
    assert names == ["i0", "i1", "i7", "i8"]
    assert "4 of 9 are shown; the others are in the run's folder" in page.text


def test_of_many_pictures_without_scores_the_first_are_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(report_module, "THUMBNAILS", 2)
    folder = write_run(tmp_path, [line(f"i{n}") for n in (3, 1, 2)])
    for n in (1, 2, 3):
        picture(folder, "masks", f"i{n}")
    page = Page(write_report(folder))
    assert [i["alt"] for i in page.all("img")] == ["Mask of i3", "Mask of i1"]
    assert "In order" in page.text


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
    assert page.all("img") == []
    assert "this run has written neither overlays nor masks" in page.text


def test_a_writer_may_choose_another_format_and_name(tmp_path):
    folder = write_run(tmp_path, [line("a/b", files=["overlay/a_b.jpg"])])
    (folder / "overlay").mkdir()
    PIL.Image.new("RGB", (9, 7)).save(folder / "overlay" / "a_b.jpg")
    page = Page(write_report(folder))
    assert [p.size for p in thumbnails(page)] == [(9, 7)]
    assert page.all("img")[0]["alt"] == "Overlay of a/b"


def test_a_damaged_picture_is_named(tmp_path):
    folder = write_run(tmp_path, [line("torn"), line("whole")])
    picture(folder, "overlay", "whole")
    (folder / "overlay" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")
    page = Page(write_report(folder))
    assert len(page.all("img")) == 1
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
    assert [a["href"] for a in page.all("a")] == ["overlay/x%FF.png"]
    assert page.all("img")[0]["alt"] == "Overlay of x?"


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

    monkeypatch.setattr(Path, "write_text", full)
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
        "name the folder that segkit run has written"
    )
    (tmp_path / "recipe.toml").touch()
    assert sentence(tmp_path) == (
        f"the run in '{tmp_path}' has not finished an image yet (no results.jsonl); "
        "go on with it by segkit run --resume"
    )
    inside = write_run(tmp_path / "recipes" / "one", [])
    assert (
        sentence(tmp_path)
        == f"'{tmp_path}' holds several runs; name one of them, such as '{inside}'"
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


def test_the_distance_has_its_unit():
    assert figure(12.987, "distance") == "12.99 px"
    assert figure(0.0359, "distance-relative") == "0.0359"


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
