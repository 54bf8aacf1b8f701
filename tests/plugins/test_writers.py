"""The writers `masks` and `overlay`: their files, and what is in them."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from segkit import (
    BadValueError,
    Heatmap,
    Image,
    Labels,
    Masks,
    PackedMasks,
    Prompt,
    Prompts,
    Truth,
    UsageError,
    palette,
    read_mask,
    write_png,
)
from segkit.cli.main import main
from segkit_plugins.shared.pictures import Scale, class_colour, heat_colours
from segkit_plugins.writer.masks import MaskFiles
from segkit_plugins.writer.overlay import Overlay

GAP, CAPTION = 10, 24


def picture(height=300, width=400, value=120, name="a"):
    return Image(np.full((height, width, 3), value, np.uint8), name)


def labels(ids, classes):
    return Labels(np.array(ids, np.int32), classes)


def masks(*arrays):
    n = len(arrays)
    return Masks(np.array(arrays, bool), np.ones(n, np.float32), np.arange(n))


def mode_of(path: Path) -> str:
    with PIL.Image.open(path) as file:
        return file.mode


# ---- masks ------------------------------------------------------------------------------------


def write_mask(directory, made, name="a"):
    (path,) = MaskFiles().write(directory, picture(name=name), made)
    assert path == directory / "masks" / f"{name}.png"
    return path


@pytest.mark.parametrize("classes", [{}, {1: "object"}])
def test_one_nameless_object_is_written_as_0_and_255(tmp_path, classes):
    path = write_mask(tmp_path, labels([[0, 1, 0]], classes))
    assert mode_of(path) == "L"
    assert read_mask(path).tolist() == [[0, 255, 0]]


def test_nothing_found_is_written_as_an_empty_mask(tmp_path):
    path = write_mask(tmp_path, labels([[0, 0]], {}))
    assert mode_of(path) == "L"
    assert read_mask(path).tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("ids", "classes"),
    [
        ([[0, 1, 255]], {1: "cat"}),
        ([[0, 2, 20]], {2: "cat", 20: "dog"}),
        ([[0, 0, 0]], {1: "cat"}),  # the same kind of file for every image of a run
        ([[0, 1, 2]], {}),
        ([[0, 1, 255]], {1: "object"}),  # void has no place among 0 and 255
    ],
)
def test_classes_are_written_under_the_palette(tmp_path, ids, classes):
    path = write_mask(tmp_path, labels(ids, classes))
    assert mode_of(path) == "P"
    assert read_mask(path).tolist() == ids
    with PIL.Image.open(path) as file:
        assert np.array_equal(np.asarray(file.convert("RGB")), palette()[np.array(ids)])


def test_ids_above_255_are_written_in_16_bits(tmp_path):
    ids = [[0, 1, 255, 256, 65535]]
    path = write_mask(tmp_path, labels(ids, {1: "dog", 256: "cat", 65535: "cow"}))
    assert mode_of(path).startswith("I")
    assert read_mask(path).tolist() == ids
    back, _ = MaskFiles().read(tmp_path, "a", {1: "dog", 256: "cat", 65535: "cow"}, 0)
    assert back.ids.tolist() == ids


def test_one_data_set_has_one_kind_of_mask(tmp_path):
    """An image that shows none of the high ids is written as the others are."""
    classes = {i: f"class {i}" for i in range(1, 300) if i != 255}
    (path,) = MaskFiles().write(tmp_path, picture(), labels([[0, 2]], {2: "b"}), classes=classes)
    assert mode_of(path).startswith("I")
    assert read_mask(path).tolist() == [[0, 2]]


def test_ids_that_a_png_has_not(tmp_path):
    with pytest.raises(BadValueError) as info:
        write_mask(tmp_path, labels([[0, 65536]], {65536: "cat"}))
    assert str(info.value) == (
        "a mask file should hold class ids up to 65535, but a has 65536; "
        "number the data set's classes from 1"
    )
    assert list(tmp_path.rglob("*.png")) == []


def test_large_masks_are_kept_packed_and_come_back_equal(tmp_path):
    """They take the room of their own boxes, and need no array of all to be read."""
    arrays = np.zeros((40, 90, 70), bool)
    for i in range(39):
        arrays[i, 2 * i : 2 * i + 5, i : i + 7] = True
    ids = labels(arrays.any(axis=0), {1: "cat"})
    made = Masks(PackedMasks.of(arrays), np.ones(40), np.arange(40))
    written = MaskFiles().write(tmp_path, picture(), ids, made)
    assert [path.name for path in written] == ["a.png", "a.npz"]
    _, back = MaskFiles().read(tmp_path, "a", {1: "cat"}, 40)
    assert isinstance(back, PackedMasks)
    assert np.array_equal(back.unpacked(), arrays)
    with pytest.raises(
        BadValueError, match=r"should have 39 masks of 70x90 pixels, but .* holds 40"
    ):
        MaskFiles().read(tmp_path, "a", {1: "cat"}, 39)
    with np.load(written[1]) as file:
        content = dict(file)
    content["boxes"][0] = 80, 0, 50, 8
    np.savez_compressed(written[1], **content)
    with pytest.raises(BadValueError, match="is damaged; run the image again"):
        MaskFiles().read(tmp_path, "a", {1: "cat"}, 40)


@pytest.mark.parametrize("writer", [MaskFiles(), Overlay()])
@pytest.mark.parametrize("name", ["../a", "a/b", "a\\b", "/a", "."])
def test_a_name_cannot_lead_out_of_the_folder(tmp_path, writer, name):
    with pytest.raises(BadValueError, match=r"should be a file's name, but is .*unique_names"):
        writer.write(tmp_path / "run", picture(name=name), labels=labels([[0]], {}))
    assert list(tmp_path.iterdir()) == []


def test_dots_in_a_name_are_kept(tmp_path):
    assert write_mask(tmp_path, labels([[0]], {}), name="a.b").name == "a.b.png"


@pytest.mark.parametrize("writer", [MaskFiles(), Overlay()])
def test_a_full_disk_is_told_and_leaves_no_part(tmp_path, monkeypatch, writer):
    real = PIL.Image.Image.save

    def half(self: PIL.Image.Image, target: Path, *args: object, **options: object) -> None:
        real(self, target, *args, **options)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(PIL.Image.Image, "save", half)
    with pytest.raises(OSError, match="No space left on device"):
        writer.write(tmp_path, picture(), labels=labels(np.zeros((300, 400), int), {}))
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


# ---- overlay ----------------------------------------------------------------------------------


def panels_of(directory, image, height=480, **values):
    """Write the overlay; the panels' pixels (h, w, 3) as they came out of the JPEG."""
    (path,) = Overlay(height=height).write(directory, image, **values)
    assert path == directory / "overlay" / f"{image.name}.jpg"
    strip = np.asarray(PIL.Image.open(path))
    h, w = Scale(image.size, height).size
    cell = max(w, 200)
    count, rest = divmod(strip.shape[1] - GAP, cell + GAP)
    assert rest == 0
    assert strip.shape[0] == h + CAPTION + 2 * GAP
    lefts = [GAP + i * (cell + GAP) for i in range(count)]
    return [strip[GAP + CAPTION : -GAP, left : left + w].astype(int) for left in lefts]


def close(pixel, colour, tolerance=24):
    return np.abs(np.asarray(pixel) - colour).max() <= tolerance


HEAT = Heatmap(np.linspace(0, 1, 400, dtype=np.float32)[None].repeat(300, 0), "cat", 0.9)
LEFT = np.zeros((300, 400), bool)
LEFT[50:250, 50:200] = True


def test_every_panel(tmp_path):
    ids = LEFT.astype(np.int32)
    true = ids.copy()
    true[:, 300:] = 255
    shown = panels_of(
        tmp_path,
        picture(),
        heatmaps=(HEAT,),
        prompts=Prompts((Prompt(points=[[120, 150], [300, 20]], signs=[True, False]),)),
        masks=masks(LEFT),
        labels=labels(ids, {1: "cat"}),
        truth=Truth(labels(true, {1: "cat"})),
        scores={"iou": 0.5},
    )
    photo, heat, overlay, mask, truth = shown
    assert close(photo, 120)
    assert close(heat[150, 2], heat_colours(np.zeros((1, 1)))[0, 0])
    assert close(heat[150, 397], heat_colours(np.ones((1, 1)))[0, 0])
    assert np.abs(overlay[150, 2] - 120).sum() < np.abs(overlay[150, 397] - 120).sum()
    tint = (120 + np.array(class_colour(1))) / 2
    assert close(mask[100, 100], tint)
    assert close(mask[280, 380], 120)
    assert close(mask[150, 50], class_colour(1), 60)  # the outline
    assert close(mask[150, 120], (0, 200, 60))  # the foreground point
    assert close(mask[20, 300], (230, 20, 40))  # the background point
    assert close(truth[100, 100], tint)
    assert close(truth[150, 350], (120 + 128) / 2)
    assert close(truth[150, 250], 120)


@pytest.mark.parametrize(
    ("values", "count"),
    [
        ({}, 1),
        ({"heatmaps": ()}, 1),
        ({"heatmaps": (HEAT,)}, 3),
        ({"heatmaps": (HEAT,) * 2}, 4),
        ({"heatmaps": (HEAT,) * 9}, 5),
        ({"prompts": Prompts((Prompt(points=[[1, 1]]),))}, 2),
        ({"masks": masks(LEFT)}, 2),
        ({"labels": labels(LEFT.astype(int), {})}, 2),
        ({"labels": labels(LEFT.astype(int), {}), "masks": masks(LEFT), "prompts": Prompts()}, 2),
        ({"masks": Masks.none((300, 400)), "heatmaps": (HEAT,)}, 4),
        ({"truth": Truth(labels(LEFT.astype(int), {}))}, 2),
    ],
)
def test_panels_without_a_value_are_left_out(tmp_path, values, count):
    assert len(panels_of(tmp_path, picture(), **values)) == count


def test_the_overlay_of_several_heatmaps_shows_the_greatest(tmp_path):
    flipped = Heatmap(HEAT.values[:, ::-1])
    *_, overlay = panels_of(tmp_path, picture(), heatmaps=(HEAT, flipped))
    assert close(overlay[150, 5], overlay[150, 394])
    assert not close(overlay[150, 5], overlay[150, 200])


def test_overlapping_masks_without_labels_have_colours_and_outlines_of_their_own(tmp_path):
    right = np.roll(LEFT, 100, axis=1)
    _, mask = panels_of(tmp_path, picture(), masks=masks(LEFT, right))
    assert close(mask[150, 100], (120 + np.array(class_colour(1))) / 2)
    assert close(mask[150, 220], (120 + np.array(class_colour(2))) / 2)
    assert close(mask[150, 199], class_colour(2), 60)  # the first one's edge, under the second


def test_objects_of_one_class_that_touch_are_told_apart(tmp_path):
    right = np.roll(LEFT, 150, axis=1)
    _, mask = panels_of(
        tmp_path,
        picture(),
        masks=masks(LEFT, right),
        labels=labels((LEFT | right).astype(int), {1: "cat"}),
    )
    assert close(mask[150, 150], mask[150, 250])
    assert not close(mask[150, 199], mask[150, 150])


def test_a_box_is_drawn_around_its_pixels(tmp_path):
    box = Prompts((Prompt(box=[100, 60, 299, 239]),))
    _, shown = panels_of(tmp_path, picture(), prompts=box)
    for y, x in ((61, 200), (238, 200), (150, 101), (150, 298)):
        assert close(shown[y, x], (0, 200, 60), 40), (y, x)
    for y, x in ((150, 200), (50, 200), (150, 310)):
        assert close(shown[y, x], 120), (y, x)


@pytest.mark.parametrize("x", [0, 399])
@pytest.mark.parametrize("y", [0, 299])
def test_a_point_in_a_corner_is_shown_whole(tmp_path, x, y):
    _, shown = panels_of(tmp_path, picture(), prompts=Prompts((Prompt(points=[[x, y]]),)))
    green = (shown[..., 1] > shown[..., 0] + 60) & (shown[..., 1] > shown[..., 2] + 60)
    _, middle = panels_of(tmp_path, picture(), prompts=Prompts((Prompt(points=[[200, 150]]),)))
    whole = (middle[..., 1] > middle[..., 0] + 60) & (middle[..., 1] > middle[..., 2] + 60)
    assert green.sum() == pytest.approx(whole.sum(), rel=0.2)
    rows, columns = np.nonzero(green)
    assert abs(rows.mean() - y) < 9
    assert abs(columns.mean() - x) < 9


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (32, 32), (3000, 40), (2000, 3000)])
def test_any_size_of_image(tmp_path, size):
    image = picture(*size)
    mask = np.ones(size, bool)
    corner = [size[1] - 1, size[0] - 1]
    shown = panels_of(
        tmp_path,
        image,
        heatmaps=(Heatmap(np.ones(size, np.float32)),),
        prompts=Prompts((Prompt(points=[[0, 0], corner], box=[0, 0, *corner]),)),
        masks=masks(mask),
        labels=labels(mask.astype(int), {1: "object"}),
        truth=Truth(labels(mask.astype(int), {1: "object"}), mask.astype(np.int32)),
    )
    assert len(shown) == 5
    assert shown[0].shape[0] <= 480
    assert shown[0].shape[1] <= 640


def test_height(tmp_path):
    assert panels_of(tmp_path, picture(), height=100)[0].shape == (100, 133, 3)
    with pytest.raises(UsageError, match="greater than or equal to 32"):
        Overlay(height=5)


def test_captions_stay_above_their_panel_whatever_they_say(tmp_path):
    long = "a class\nwith a name " * 20
    (path,) = Overlay().write(
        tmp_path,
        picture(),
        heatmaps=(Heatmap(HEAT.values, long),),
        labels=labels(np.indices((300, 400)).sum(0) % 40, {i: f"{i}{long}" for i in (1, 2)}),
    )
    strip = np.asarray(PIL.Image.open(path)).astype(int)
    assert strip.shape[1] == 4 * 400 + 5 * GAP
    for i in range(5):
        assert strip[:, i * (400 + GAP) + 1 : i * (400 + GAP) + GAP - 2].min() > 200, i
    assert strip[GAP : GAP + CAPTION].min() < 100


def test_the_score_stands_above_the_mask(tmp_path):
    def caption(**values):
        (path,) = Overlay().write(
            tmp_path, picture(), labels=labels(np.zeros((300, 400), int), {}), **values
        )
        return np.asarray(PIL.Image.open(path))[GAP : GAP + CAPTION, 400 + 2 * GAP :].astype(int)

    assert np.abs(caption() - caption(scores={"dice": 1.0})).max() == 0
    assert np.abs(caption() - caption(scores={"iou": 0.25})).max() > 100


def test_the_contracts_of_the_writers():
    assert MaskFiles.inputs().required == ("directory", "image", "labels")
    assert Overlay.inputs().required == ("directory", "image")
    for writer in (MaskFiles, Overlay):
        assert writer.output() == tuple[Path, ...]


@pytest.mark.parametrize(
    ("given", "named", "shown"),
    [
        ([0, 1, 7, 8, 200], False, [0, 1, 7, 8, 200]),
        ([0, 1, 2, 3], True, [0, 1, 3, 2]),  # cat, owl and dog, of which the data set lacks the owl
    ],
)
def test_a_class_has_one_colour_in_all_files_of_a_run(tmp_path, given, named, shown):
    """Whether the data set knows a class, or it came with the class map."""
    ids = np.repeat(np.array(given, np.uint8), 60)[None].repeat(300, 0)
    write_png(tmp_path / "images/a.png", np.full((*ids.shape, 3), 120, np.uint8))
    write_png(tmp_path / "maps/a.png", ids)
    write_png(tmp_path / "masks/a.png", (ids == 1).astype(np.uint8))
    source = [str(tmp_path / "images")]
    if named:
        folders = ("--folder.images", *source, "--folder.masks", str(tmp_path / "masks"))
        source = ["--dataset", "folder", "--folder.values", "ids", *folders]
        source += ["--folder.class-names", "cat", "--folder.class-names", "dog"]
        for name in ("cat", "owl", "dog"):
            source += ["--class-maps.names", name]
    maps = ("--segmenter", "class-maps", "--class-maps.folder", str(tmp_path / "maps"))
    writers = ("--write", "masks", "--write", "overlay", "--write", "voc")
    with pytest.raises(SystemExit) as end:
        main(["run", *source, *maps, *writers, "-o", str(tmp_path / "run")])
    assert end.value.code in (None, 0)

    (class_map,) = (tmp_path / "run").rglob("SegmentationClass/a.png")
    middles, ids = 30 + 60 * np.arange(len(shown)), np.array(shown)
    for path in (tmp_path / "run/masks/a.png", class_map):
        with PIL.Image.open(path) as file:
            colours = np.asarray(file.convert("RGB"))[150, middles]
        assert np.array_equal(colours, palette()[ids]), path
    strip = PIL.Image.open(tmp_path / "run/overlay/a.jpg")
    panels = json.loads(strip.info["comment"].removeprefix(b"segkit "))["panels"]
    (left, top) = next(panel[1:3] for panel in panels if panel[0].startswith("mask"))
    tints = np.asarray(strip)[top + 150, left + middles].astype(int)
    expected = np.where(ids[:, None] > 0, (120 + palette()[ids].astype(int)) / 2, 120)
    assert np.abs(tints - expected).max() <= 6
