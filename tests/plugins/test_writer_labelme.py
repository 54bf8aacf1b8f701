"""The writer `labelme`, read back by labelme where it is installed, and by supervision."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest
from writer_toys import SIZE, blobs, content, iou, labels, masks_of, picture, whole_and_cut

from segkit import Masks
from segkit_plugins.writer.labelme import Labelme

EXACT = {"tolerance": 0, "least_part": 0}
"""Nothing is lost."""

NAMES = [("cat", "dog", "bird")[i % 3] for i in range(24)]


def shapes(folder, name="a"):
    """The shapes as they are in the file."""
    return json.loads((folder / f"labelme/{name}.json").read_text())["shapes"]


# labelme leaves photos open that it has read.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def labelme():
    """labelme, which needs no display for its files, but the libraries of one."""
    try:
        import labelme
    except ImportError as error:
        pytest.skip(f"labelme, of the extra peers, cannot be imported: {error}")
    return labelme


def test_labelme_reads_masks_names_and_photo(tmp_path, labelme):
    arrays = blobs(24)
    made = masks_of(arrays, NAMES)
    Labelme(**EXACT).write(tmp_path, picture(), masks=made)
    file = labelme.LabelFile(str(tmp_path / "labelme/a.json"))
    assert [shape["label"] for shape in file.shapes] == NAMES
    scores = [shape["other_data"]["score"] for shape in file.shapes]
    assert scores == pytest.approx(made.scores.tolist(), abs=1e-6)
    for shape, mask in zip(file.shapes, arrays, strict=True):
        found = labelme.utils.shape_to_mask(SIZE, shape["points"], shape["shape_type"])
        assert iou(found, mask) >= 0.99
        assert np.array_equal(found, mask)


def test_labelme_takes_the_parts_of_an_object_as_one(tmp_path, labelme):
    two = np.zeros(SIZE, bool)
    two[20:50, 20:50] = two[80:120, 100:150] = True
    two[30:40, 30:40] = False
    one = np.roll(two, (55, 60), (0, 1)) & ~two
    one[:, :100] = False
    Labelme(**EXACT).write(tmp_path, picture(), masks=masks_of([two, one], ["cat", "cat"]))
    assert [s["group_id"] for s in shapes(tmp_path)][:2] == [1, 1]
    file = labelme.LabelFile(str(tmp_path / "labelme/a.json"))
    classes, objects = labelme.utils.shapes_to_label(SIZE, file.shapes, {"cat": 5})
    assert np.array_equal(classes == 5, two | one)
    assert np.array_equal(objects == 1, two)
    assert np.array_equal(objects == 2, one)


def test_supervision_reads_masks_and_names(tmp_path):
    supervision = pytest.importorskip("supervision", reason="an independent reader")
    if not hasattr(supervision.DetectionDataset, "from_labelme"):
        pytest.skip("this supervision does not read labelme's files")
    arrays = blobs(24)
    Labelme(images="png", **EXACT).write(tmp_path, picture(), masks=masks_of(arrays, NAMES))
    data = supervision.DetectionDataset.from_labelme(
        str(tmp_path / "labelme"), str(tmp_path / "labelme"), force_masks=True
    )
    ((_, pixels, detections),) = data
    assert np.array_equal(pixels[..., ::-1], picture().pixels)
    assert [data.classes[i] for i in detections.class_id] == NAMES
    assert min(iou(a, b) for a, b in zip(detections.mask, arrays, strict=True)) >= 0.99


def test_the_file_says_what_labelme_wants(tmp_path):
    Labelme(images="none").write(
        tmp_path, picture(name="a.b"), masks=masks_of(blobs(2), ["x", "y"])
    )
    made = json.loads((tmp_path / "labelme/a.b.json").read_text())
    assert {k: v for k, v in made.items() if k not in ("shapes", "version")} == {
        "flags": {},
        "imagePath": "a.b.jpg",
        "imageData": None,
        "imageHeight": 180,
        "imageWidth": 240,
    }
    assert [p.name for p in (tmp_path / "labelme").iterdir()] == ["a.b.json"]
    for shape in made["shapes"]:
        assert (shape["shape_type"], shape["group_id"]) == ("polygon", None)
        points = np.array(shape["points"])
        assert points.shape[1:] == (2,)
        assert points.min() >= 0
        assert (points <= (239, 179)).all()


def test_tolerance_leaves_fewer_vertices(tmp_path):
    counts = []
    for tolerance in (0, 2):
        Labelme(tolerance=tolerance).write(tmp_path, picture(), masks=masks_of(blobs(6)))
        counts.append(sum(len(shape["points"]) for shape in shapes(tmp_path)))
    assert 18 <= counts[1] < counts[0] / 3


def filled(folder):
    """The first object (H, W) bool: its polygons, filled with their border."""
    drawn = PIL.Image.new("1", SIZE[::-1])
    for shape in shapes(folder):
        points = [tuple(point) for point in shape["points"]]
        PIL.ImageDraw.Draw(drawn).polygon(points, fill=1, outline=1)
    return np.asarray(drawn)


def test_few_vertices_and_no_islands_unless_asked_for(tmp_path):
    mask = np.zeros(SIZE, bool)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    mask[np.hypot(rows - 90, columns - 120) < 60] = True  # 11,289 pixels
    clean = mask.copy()
    mask[85:90, 100:110] = False  # a small hole
    mask[5:15, 5:15] = mask[170, 230] = True  # islands, 100 pixels and one
    Labelme().write(tmp_path / "a", picture(), masks=masks_of([mask]))
    (shape,) = shapes(tmp_path / "a")
    assert shape["group_id"] is None
    assert len(shape["points"]) < 40
    assert iou(filled(tmp_path / "a"), clean) > 0.98
    Labelme(least_part=0.005).write(tmp_path / "b", picture(), masks=masks_of([mask]))
    assert [s["group_id"] for s in shapes(tmp_path / "b")] == [1, 1]
    Labelme(**EXACT).write(tmp_path / "c", picture(), masks=masks_of([mask]))
    assert len(shapes(tmp_path / "c")) == 3
    assert len(shapes(tmp_path / "c")[0]["points"]) > 100


def test_an_object_of_small_parts_alone_keeps_its_largest(tmp_path):
    mask = np.zeros(SIZE, bool)
    mask[::4, ::4] = True
    mask[8:13, 8:13] = True
    Labelme().write(tmp_path, picture(), masks=masks_of([mask]))
    (shape,) = shapes(tmp_path)
    assert {tuple(point) for point in shape["points"]} == {*((8, 8), (12, 8), (12, 12), (8, 12))}


def test_a_class_map_has_shapes_for_each_class(tmp_path):
    ids = np.zeros(SIZE, int)
    ids[10:60, 10:60], ids[100:150, :20], ids[100:150, 90:], ids[5] = 2, 9, 9, 255
    Labelme().write(tmp_path, picture(), labels=labels(ids, {2: "dog", 9: "owl"}))
    found = [(s["label"], s["group_id"], s["score"]) for s in shapes(tmp_path)]
    assert found == [("dog", None, 1), ("owl", 2, 1), ("owl", 2, 1)]


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
def test_a_line_of_pixels_is_a_polygon_all_the_same(tmp_path, size):
    Labelme().write(tmp_path, picture(size), masks=masks_of(np.ones((1, *size))))
    (shape,) = shapes(tmp_path)
    ends = {tuple(point) for point in shape["points"]}
    assert len(shape["points"]) == 3
    assert ends == {(0, 0), (size[1] - 1, size[0] - 1)}


def test_nothing_found_is_a_file_without_shapes(tmp_path):
    Labelme().write(tmp_path, picture(), masks=Masks.none(SIZE))
    assert shapes(tmp_path) == []


def test_a_run_that_was_cut_off_has_all_in_the_end(tmp_path):
    whole, cut = whole_and_cut(tmp_path, "labelme")
    assert content(whole) == content(cut)
    assert len(content(whole)) == 6


def test_quality_stands_beside_the_score(tmp_path):
    judged = replace(masks_of(blobs(2), ["cat", "dog"]), quality=[0.25, 0.75])
    Labelme().write(tmp_path, picture(), masks=judged)
    said = {s["group_id"] or s["label"]: (s["score"], s["quality"]) for s in shapes(tmp_path)}
    assert [*said.values()] == [(0.5, 0.25), (1.0, 0.75)]
