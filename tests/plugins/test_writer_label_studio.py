"""The writer `label-studio`, read back by Label Studio's own converter."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest
from writer_toys import SIZE, blobs, content, labels, masks_of, picture, whole_and_cut

from segkit import BadImageError, Masks
from segkit_plugins.shared import brush_rle
from segkit_plugins.writer.label_studio import LabelStudio

NAMES = [("cat", "dog", "bird")[i % 3] for i in range(12)]


@pytest.fixture(scope="module")
def converter():
    """The brush module of Label Studio's converter."""
    return pytest.importorskip(
        "label_studio_converter.brush", reason="needs label-studio-converter, of the extra peers"
    )


def task(folder, place=0):
    return json.loads((folder / "label-studio/tasks.json").read_text())[place]


def regions(folder, place=0):
    (prediction,) = task(folder, place)["predictions"]
    return prediction["result"]


def written(folder, *images, **options):
    """Write (name, masks) and finish."""
    writer = LabelStudio(**options)
    for name, masks in images:
        writer.write(folder, picture(name=name), masks=masks)
    writer.finish(folder, [name for name, _ in images])
    return folder


# ---- the brush's run lengths ------------------------------------------------------------------


def shapes_of_masks():
    rng = np.random.default_rng(4)
    yield np.ones((1, 1), bool)
    yield np.zeros((3, 5), bool)
    yield np.ones((300, 300), bool)  # runs longer than 2^16 values
    yield np.eye(9, dtype=bool)
    for _ in range(10):
        yield rng.random(rng.integers(1, 60, 2)) < rng.random()
    yield from blobs(4)


def test_run_lengths_are_those_of_the_converter_bit_for_bit(converter):
    for mask in shapes_of_masks():
        assert brush_rle.encode(mask) == converter.mask2rle(mask.astype(np.uint8) * 255)


def test_the_converter_reads_what_is_written(converter):
    for mask in shapes_of_masks():
        pixels = converter.decode_rle(brush_rle.encode(mask)).reshape(*mask.shape, 4)
        assert np.array_equal(pixels[..., 3] > 0, mask)


def test_what_the_browser_writes_is_read_too(converter):
    """Other sizes of runs, and pixels of a colour, which are no runs."""
    mask = blobs(1)[0][:40, :60]
    coloured = np.zeros((*mask.shape, 4), int)
    coloured[mask] = (13, 200, 77, 255)
    stream = converter.encode_rle(coloured.ravel())
    assert np.array_equal(brush_rle.decode(stream, mask.shape), mask)


def test_own_run_lengths_come_back():
    for mask in shapes_of_masks():
        assert np.array_equal(brush_rle.decode(brush_rle.encode(mask), mask.shape), mask)


def literal(values):
    """A stream that says its values one by one."""
    head = f"{len(values):032b}{7:05b}" + f"{15:04b}" * 4
    bits = f"{head}0{0:02b}{len(values) - 1:016b}" + "".join(f"{v:08b}" for v in values)
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def test_values_that_are_not_repeated_are_read():
    assert brush_rle.decode(literal([9, 9, 9, 0, 9, 9, 9, 255]), (1, 2)).tolist() == [[False, True]]


@pytest.mark.parametrize(
    ("rle", "sentence"),
    [
        ([1, 256], "has an rle that is no list of bytes"),
        ("text", "has an rle that is no list of bytes"),
        ([0] * 5, "has an rle that is cut off"),
        (brush_rle.encode(np.ones((2, 3), bool)), "has an rle of 6 pixels, but its image is 2x2"),
        (brush_rle.encode(np.eye(2, dtype=bool))[:9], "has an rle that is cut off"),
        (literal([1] * 16)[:-3], "has an rle that is cut off"),
    ],
)
def test_damaged_run_lengths_are_told(rle, sentence):
    with pytest.raises(BadImageError, match=sentence):
        brush_rle.decode(rle, (2, 2))


# ---- tasks ------------------------------------------------------------------------------------


def test_the_converter_reads_masks_and_names(tmp_path, converter):
    arrays = blobs(12)
    written(tmp_path, ("a", masks_of(arrays, NAMES)))
    flat = [{**region["value"], **region} for region in regions(tmp_path)]
    layers = converter.decode_from_annotation("tag", flat)
    assert [name.split("-")[1] for name in layers] == NAMES
    for layer, mask in zip(layers.values(), arrays, strict=True):
        assert np.array_equal(layer > 0, mask)


def test_a_region_is_what_the_converter_would_make(tmp_path, converter):
    (mask,) = blobs(1)
    written(tmp_path, ("a", masks_of([mask], ["cat"])))
    PIL.Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / "mask.png")
    theirs = converter.image2annotation(
        tmp_path / "mask.png", "cat", "tag", "image", model_version="segkit", score=0.5
    )
    (prediction,) = task(tmp_path)["predictions"]
    assert prediction.keys() == theirs.keys()
    ours, (region,) = prediction["result"][0], theirs["result"]
    assert ours.keys() - region.keys() == {"score"}
    assert {k: ours[k] for k in region if k not in ("id", "origin")} == {
        k: v for k, v in region.items() if k not in ("id", "origin")
    }


def test_scores_qualities_and_the_most_doubtful_first(tmp_path):
    scored = masks_of(blobs(2), ["cat", "dog"], np.array([0.9, 0.8], np.float32))
    judged = replace(scored, quality=[0.25, 0.75])
    nothing = Masks.none(SIZE)
    written(tmp_path, ("a", scored), ("b", judged), ("c", nothing), model_version="night 3")
    said = [task(tmp_path, i)["predictions"][0] for i in range(3)]
    assert [p["score"] for p in said] == pytest.approx([0.8, 0.25, 0])
    assert {p["model_version"] for p in said} == {"night 3"}
    first, second, third = (regions(tmp_path, i) for i in range(3))
    assert [r["score"] for r in first] == pytest.approx([0.9, 0.8])
    assert [r["quality"] for r in second] == pytest.approx([0.25, 0.75])
    assert all("quality" not in r for r in first)
    assert third == []


def test_photos_are_where_the_tasks_say(tmp_path):
    written(tmp_path, ("a b#1", masks_of(blobs(1))), images="png")
    address = task(tmp_path)["data"]["image"]
    assert address == "/data/local-files/?d=label-studio/images/a%20b%231.png"
    pixels = np.asarray(PIL.Image.open(tmp_path / "label-studio/images/a b#1.png"))
    assert np.array_equal(pixels, picture().pixels)
    written(tmp_path / "s3", ("a", masks_of(blobs(1))), images="none", address="s3://here/")
    assert task(tmp_path / "s3")["data"]["image"] == "s3://here/a.jpg"
    assert not (tmp_path / "s3/label-studio/images").exists()


def test_the_interface_names_the_classes_escaped(tmp_path):
    writer = LabelStudio()
    odd = 'a "b" <c> & é\x1b'
    writer.write(
        tmp_path,
        picture(),
        masks=masks_of(blobs(2), ["zebra", odd]),
        classes={2: "dog", 1: "cat"},
    )
    writer.finish(tmp_path, [picture().name])
    root = ET.parse(tmp_path / "label-studio/config.xml").getroot()
    values = [label.get("value") for label in root.iter("Label")]
    assert values == ["cat", "dog", 'a "b" <c> & é?', "zebra"]
    (brush,) = root.iter("BrushLabels")
    (region, _) = regions(tmp_path)
    assert (brush.get("name"), brush.get("toName")) == (region["from_name"], region["to_name"])


def test_a_class_map_has_a_region_for_each_class(tmp_path):
    ids = np.zeros(SIZE, int)
    ids[10:60, 10:60], ids[100:150, :20], ids[5] = 2, 9, 255
    writer = LabelStudio()
    writer.write(tmp_path, picture(), labels=labels(ids, {2: "dog", 9: "owl"}))
    writer.finish(tmp_path, [picture().name])
    found = regions(tmp_path)
    assert [r["value"]["brushlabels"] for r in found] == [["dog"], ["owl"]]
    for region, i in zip(found, (2, 9), strict=True):
        assert np.array_equal(brush_rle.decode(region["value"]["rle"], SIZE), ids == i)


def test_a_run_that_was_cut_off_has_all_in_the_end(tmp_path):
    whole, cut = whole_and_cut(tmp_path, "label-studio")
    assert content(whole) == content(cut)
    assert len(json.loads((whole / "tasks.json").read_bytes())) == 3
