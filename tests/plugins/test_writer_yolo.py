"""The writer `yolo`, read back by supervision and by Ultralytics."""

from __future__ import annotations

import numpy as np
import pytest
from writer_toys import SIZE, blobs, content, iou, labels, masks_of, picture, whole_and_cut

from segkit import Masks
from segkit_plugins.writer.yolo import Yolo

CLASSES = {1: "cat", 2: "dog", 7: "bird"}
NAMES = [("cat", "dog", "bird")[i % 3] for i in range(24)]


def by_supervision(folder):
    """{image: (masks, class names)}, and the names in order."""
    supervision = pytest.importorskip("supervision", reason="it reads YOLO's polygons")
    data = supervision.DetectionDataset.from_yolo(
        str(folder / "yolo/images"),
        str(folder / "yolo/labels"),
        str(folder / "yolo/data.yaml"),
        force_masks=True,
    )
    found = {}
    for path, _, detections in data:
        names = [data.classes[i] for i in detections.class_id]
        found[path.rpartition("/")[2].rpartition(".")[0]] = detections.mask, names
    return found, data.classes


def by_ultralytics(folder, name, monkeypatch, tmp_path):
    """The masks of an image, and the places of their classes."""
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("YOLO_OFFLINE", "true")
    utils = pytest.importorskip("ultralytics.data.utils", reason="needs the extra peers")
    where = folder / f"yolo/images/{name}.jpg", folder / f"yolo/labels/{name}.txt"
    read = utils.verify_image_label((*map(str, where), "", False, len(CLASSES), 0, 0, False))
    _, rows, (height, width), segments, *_, corrupt, message = read
    assert (corrupt, message) == (0, "")
    scaled = [segment * (width, height) for segment in segments]
    masks = [utils.polygon2mask((height, width), [one.ravel()]) for one in scaled]
    return np.array(masks, bool), rows[:, 0].astype(int).tolist()


def test_masks_come_back_by_supervision(tmp_path):
    arrays = blobs(24)
    Yolo().write(tmp_path, picture(), masks=masks_of(arrays, NAMES), classes=CLASSES)
    other = blobs(5, (97, 331), seed=3)
    made = masks_of(other, ["fox"] * 5)
    Yolo().write(tmp_path, picture((97, 331), "b"), masks=made, classes=CLASSES)
    Yolo().finish(tmp_path, ["a", "b"])
    found, classes = by_supervision(tmp_path)
    assert classes == ["cat", "dog", "bird", "fox"]
    assert found["a"][1] == NAMES
    assert found["b"][1] == ["fox"] * 5
    assert np.array_equal(found["a"][0], arrays)
    assert np.array_equal(found["b"][0], other)


def test_masks_come_back_by_ultralytics(tmp_path, monkeypatch):
    arrays = blobs(24, (375, 500))
    photo = picture((375, 500))
    Yolo().write(tmp_path, photo, masks=masks_of(arrays, NAMES), classes=CLASSES)
    masks, places = by_ultralytics(tmp_path, "a", monkeypatch, tmp_path / "settings")
    assert places == [("cat", "dog", "bird").index(name) for name in NAMES]
    assert min(iou(a, b) for a, b in zip(masks, arrays, strict=True)) >= 0.99
    assert np.array_equal(masks, arrays)


def test_parts_are_joined_or_split(tmp_path):
    mask = np.zeros(SIZE, bool)
    mask[20:80, 20:80] = mask[90:150, 100:200] = True
    mask[40:60, 40:60] = False
    Yolo().write(tmp_path / "join", picture(), masks=masks_of([mask]))
    Yolo().finish(tmp_path / "join", ["a"])
    ((joined,), _) = by_supervision(tmp_path / "join")[0]["a"]
    assert not (mask & ~joined).any()
    assert 10 <= (joined & ~mask).sum() <= 25  # the line between the two
    assert iou(joined, mask) >= 0.99
    Yolo(parts="split").write(tmp_path / "split", picture(), masks=masks_of([mask]))
    Yolo().finish(tmp_path / "split", ["a"])
    parts, _ = by_supervision(tmp_path / "split")[0]["a"]
    assert len(parts) == 2
    assert np.array_equal(parts.any(0), mask)


def test_tolerance_makes_shorter_files(tmp_path):
    sizes = []
    for tolerance in (0, 1):
        folder = tmp_path / str(tolerance)
        (path, *_) = Yolo(tolerance=tolerance).write(folder, picture(), masks=masks_of(blobs(6)))
        sizes.append(path.stat().st_size)
        Yolo().finish(folder, ["a"])
        found, _ = by_supervision(folder)[0]["a"]
        assert min(iou(a, b) for a, b in zip(found, blobs(6), strict=True)) > 0.9
    assert sizes[1] < sizes[0] / 2


def test_a_class_map_has_a_line_for_each_class(tmp_path):
    ids = np.zeros(SIZE, int)
    ids[10:60, 10:60], ids[100:150], ids[5] = 2, 40, 255
    Yolo().write(tmp_path, picture(), labels=labels(ids, {2: "dog"}), classes=CLASSES)
    Yolo().finish(tmp_path, ["a"])
    (masks, names), classes = by_supervision(tmp_path)[0]["a"], by_supervision(tmp_path)[1]
    assert names == ["dog", "class 40"]
    assert classes == ["cat", "dog", "bird", "class 40"]
    assert np.array_equal(masks, [ids == 2, ids == 40])


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1)])
def test_a_line_of_pixels_is_a_polygon_of_three_vertices_or_more(tmp_path, size):
    (path, *_) = Yolo().write(tmp_path, picture(size), masks=masks_of(np.ones((1, *size))))
    (line,) = path.read_text().splitlines()
    place, *shares = line.split()
    assert place == "0"
    assert len(shares) == 6
    assert all(0 <= float(share) < 1 for share in shares)
    Yolo().finish(tmp_path, ["a"])
    assert by_supervision(tmp_path)[0]["a"][0].all()


def test_nothing_found_is_an_empty_file(tmp_path):
    (path, *_) = Yolo().write(tmp_path, picture(), masks=Masks.none(SIZE), classes=CLASSES)
    assert path.read_bytes() == b""
    Yolo().finish(tmp_path / "no image", [])
    assert (tmp_path / "no image/yolo/data.yaml").read_text().endswith("names: {}\n")


def test_class_names_of_all_kinds(tmp_path):
    """data.yaml is read by a YAML parser, whatever the names hold."""
    yaml = pytest.importorskip("yaml", reason="an independent reader of data.yaml")
    names = [
        "a: b",
        'the "cat"',
        "back\\slash",
        "\u732b \U0001f600",
        "\x00\x7f\n",
        "no",
        "caf\udce9",
    ]
    Yolo().write(tmp_path, picture(), masks=masks_of(blobs(1)), classes=dict(enumerate(names, 1)))
    Yolo().finish(tmp_path, ["a"])
    read = yaml.safe_load((tmp_path / "yolo/data.yaml").read_text(encoding="utf-8"))
    assert list(read["names"].values()) == [*names, "object"]
    assert list(read["names"]) == list(range(8))
    assert (read["train"], read["val"]) == ("images", "images")


def test_a_run_that_was_cut_off_has_all_in_the_end(tmp_path):
    whole, cut = whole_and_cut(tmp_path, "yolo")
    assert content(whole) == content(cut)
    assert len(list((whole / "labels").iterdir())) == 3
    assert "circle" in (whole / "data.yaml").read_text()
