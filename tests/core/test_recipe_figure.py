"""The figure of a sweep: image, heatmap, overlay, a mask for each recipe, truth."""

from __future__ import annotations

import base64
import io
import json
from xml.dom import minidom

import numpy as np
import PIL.Image
import pytest

from segkit import UsageError
from segkit.cli.main import main
from segkit.reporting.paper import write_figures
from segkit.running.ledger import noted_files

RECIPES = ("maxmin", "centroid-grid")


def segkit(*arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    return stop.value.code


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figure") / "s"
    flags = ("--dataset", "scenes", "--scenes.count", "3", "--scenes.size", "96", "--quiet")
    prompts = ("--prompt", ",".join(RECIPES), "--gradcam.model", "shapes")
    assert not segkit("sweep", *flags, *prompts, "-o", folder)
    assert not segkit("report", folder, "--figures", "--rows", "2")
    return folder


def words(svg):
    """The texts of an SVG, with the x of their middles and the y of their base line."""
    document = minidom.parseString(svg)
    return [
        (int(t.getAttribute("x")), int(t.getAttribute("y")), t.firstChild.data)
        for t in document.getElementsByTagName("text")
    ]


def pictures(svg):
    """The pictures of an SVG by their places, x and y."""
    found = {}
    for image in minidom.parseString(svg).getElementsByTagName("image"):
        data = image.getAttribute("href").removeprefix("data:image/png;base64,")
        picture = PIL.Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
        assert str(picture.width) == image.getAttribute("width")
        assert str(picture.height) == image.getAttribute("height")
        found[int(image.getAttribute("x")), int(image.getAttribute("y"))] = picture
    return found


def recipes_of(folder):
    board = json.loads((folder / "leaderboard.json").read_text())
    return [row["recipe"] for row in board["rows"]]


def test_a_column_for_each_value_and_a_row_for_each_image(swept):
    svg = (swept / "figures" / "recipes.svg").read_bytes()
    columns = ["image", "heatmap", "overlay", *recipes_of(swept), "truth"]
    told = words(svg)
    assert [text for _, _, text in told[:6]] == columns
    assert [x for x, _, _ in told[:6]] == sorted(x for x, _, _ in told[:6])
    assert len(pictures(svg)) == 2 * len(columns)
    assert {text for _, _, text in told if text.startswith("scenes-")} < {
        f"scenes-0000{i}" for i in range(3)
    }


def test_each_mask_is_its_recipes_with_its_figure(swept):
    """Against the overlay that the run left, cut out by hand."""
    svg = (swept / "figures" / "recipes.svg").read_bytes()
    told, drawn = words(svg), pictures(svg)
    tops = sorted({y for _, y in drawn})
    names = [text for _, _, text in told if text.startswith("scenes-")]
    for name, top in zip(names, tops, strict=True):
        row = [drawn[x, y] for x, y in sorted(drawn) if y == top]
        for place, recipe in enumerate(recipes_of(swept)):
            folder = swept / "recipes" / recipe
            strip = PIL.Image.open(folder / "overlay" / f"{name}.jpg")
            boxes = json.loads(strip.info["comment"].removeprefix(b"segkit "))["panels"]
            (box,) = [edges for title, *edges in boxes if title.startswith("mask")]
            (truth,) = [edges for title, *edges in boxes if title.startswith("truth")]
            for found, edges in ((row[3 + place], box), (row[-1], truth)):
                wanted = strip.convert("RGB").crop(edges)
                assert found.size == wanted.size == (288, 288) or max(found.size) == 240
                wanted.thumbnail((240, 240), PIL.Image.Resampling.LANCZOS)
                apart = np.abs(np.asarray(found, int) - np.asarray(wanted, int))
                assert apart.mean() < 3
            lines = [json.loads(t) for t in (folder / "results.jsonl").read_text().splitlines()]
            (iou,) = [line["scores"]["iou"] for line in lines if line["name"] == name]
            assert f"iou {iou:.4f}" in [text for _, _, text in told]


def test_the_png_shows_what_the_svg_shows(swept):
    picture = PIL.Image.open(swept / "figures" / "recipes.png").convert("RGB")
    for (x, y), part in pictures((swept / "figures" / "recipes.svg").read_bytes()).items():
        cut = picture.crop((x, y, x + part.width, y + part.height))
        assert np.array_equal(np.asarray(cut), np.asarray(part))
    head = np.asarray(picture.crop((0, 0, picture.width, 30)))
    assert head.min() < 100  # the words above the columns


def test_overwrite_takes_it_away(swept):
    assert {f"figures/recipes.{s}" for s in ("png", "svg", "pdf")} <= noted_files(swept)


def test_images_may_be_chosen(swept, capsys):
    assert not segkit("report", swept, "--figures", "--image", "scenes-00002")
    svg = (swept / "figures" / "recipes.svg").read_bytes()
    assert [text for _, _, text in words(svg) if text.startswith("scenes-")] == ["scenes-00002"]
    capsys.readouterr()
    assert segkit("report", swept, "--figures", "--image", "scenes-0002") == 2
    assert capsys.readouterr().err == (
        "Error: --image scenes-0002: the folder has no picture of it; did you mean "
        "'scenes-00002'?\n"
    )
    assert not segkit("report", swept, "--figures", "--rows", "2")


def test_the_figure_of_a_run_with_odd_names_and_a_failure(tmp_path):
    nasty = '<b>&"x'
    photos = tmp_path / "photos"
    photos.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (40, 300, 3), np.uint8)
    PIL.Image.fromarray(noise).save(photos / f"{nasty}.png")
    (photos / "broken.png").write_bytes(b"no picture")
    flags = ("--gradcam.model", "shapes", "--quiet", "-o", tmp_path / "r")
    assert segkit("run", photos, *flags) == 1
    write_figures(tmp_path / "r")
    svg = (tmp_path / "r" / "figures" / "recipes.svg").read_bytes()
    assert nasty in [text for _, _, text in words(svg)]
    assert b"<b>" not in svg
    assert len(pictures(svg)) == 4  # of the broken one there is no picture, of truth none at all
    assert {max(p.size) for p in pictures(svg).values()} == {240}


def test_without_pictures_it_says_what_to_do(tmp_path, capsys):
    photo = tmp_path / "photo.png"
    PIL.Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(photo)
    flags = ("--gradcam.model", "shapes", "--quiet")
    assert not segkit("run", photo, *flags, "-o", tmp_path / "r")  # no truth, so no chart
    for file in [*tmp_path.rglob("overlay/*"), *tmp_path.rglob("masks/*")]:
        file.unlink()
    with pytest.raises(UsageError) as error:
        write_figures(tmp_path / "r")
    assert str(error.value) == (
        f"'{tmp_path / 'r'}' holds no pictures to make a figure of; run it again with the writer "
        "overlay (--write overlay)"
    )
    for flags, said in (
        (("--rows", "3"), "--rows says how many images a figure has; add --figures"),
        (("--image", "a"), "--image says which images a figure has; add --figures"),
        (("--columns", "a"), "--columns says which figures tables have; add --tables"),
        (
            ("--figures", "--image", "a", "--rows", "3"),
            "--image names the images and --rows how many; leave out one of them",
        ),
    ):
        assert segkit("report", tmp_path / "r", *flags) == 2
        assert capsys.readouterr().err.strip() == f"Error: {said}"
