"""The data set `label-studio`: projects as Label Studio exports them, written small and real."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from segkit import BadImageError, UsageError
from segkit_plugins.dataset.label_studio import LabelStudio
from segkit_plugins.shared import brush_rle

SIZE = (20, 40)


def mask(rows, columns):
    found = np.zeros(SIZE, bool)
    found[rows, columns] = True
    return found


def region(value, kind="brushlabels", label="cat", **more):
    """A region as it stands in an export."""
    size = {"original_width": SIZE[1], "original_height": SIZE[0], "image_rotation": 0}
    return {
        "id": "x1",
        "type": kind,
        "from_name": "tag",
        "to_name": "image",
        "origin": "manual",
        "value": {**value, kind: [label]},
        **size,
        **more,
    }


def brush(found, **more):
    return region({"format": "rle", "rle": brush_rle.encode(found)}, **more)


def done(*results, **more):
    return {"id": 7, "completed_by": 1, "result": [*results], "was_cancelled": False, **more}


def task(*annotations, image="/data/local-files/?d=photos/a.png", **more):
    return {"id": 1, "data": {"image": image}, "annotations": [*annotations], **more}


@pytest.fixture
def make(tmp_path):
    """Write an export of tasks for two photos; returns the data set."""
    (tmp_path / "photos").mkdir()
    for name in ("a", "b c"):
        PIL.Image.new("RGB", SIZE[::-1], "teal").save(tmp_path / f"photos/{name}.png")

    def write(*tasks, **options):
        (tmp_path / "export.json").write_text(json.dumps(tasks))
        return LabelStudio(
            annotations=tmp_path / "export.json", root=tmp_path / "photos", **options
        )

    return write


def usage(data):
    with pytest.raises(UsageError) as info:
        _ = data.names
    return str(info.value)


def bad(data):
    with pytest.raises(BadImageError) as info:
        data[0]
    return str(info.value)


def read(data, index=0):
    _, truth = data[index]
    return truth


# ---- what it reads ----------------------------------------------------------------------------


def test_brushes_are_objects_and_later_ones_lie_on_top(make):
    low, high = mask(slice(2, 12), slice(2, 20)), mask(slice(8, 16), slice(10, 30))
    data = make(task(done(brush(low), brush(high, label="dog"))))
    assert data.classes == {1: "cat", 2: "dog"}
    truth = read(data)
    assert np.array_equal(truth.labels.ids, np.where(high, 2, low))
    assert np.array_equal(truth.instances, np.where(high, 2, low))


def per_cent(x, y):
    return [100 * x / SIZE[1], 100 * y / SIZE[0]]


def test_drawn_regions_are_filled(make):
    corners = [per_cent(*p) for p in ((4, 2), (12, 2), (12, 10), (4, 10))]
    wanted = mask(slice(2, 10), slice(4, 12))
    x, y = per_cent(4, 2)
    width, height = per_cent(8, 8)
    box = {"x": x, "y": y, "width": width, "height": height, "rotation": 0}
    for value, kind in ((box, "rectanglelabels"), (box, "Labels")):
        made = region(value, kind)
        if kind == "Labels":
            made["value"] = {**value, "labels": ["cat"]}
        assert np.array_equal(read(make(task(done(made)))).labels.ids, wanted)
    found = read(make(task(done(region({"points": corners}, "polygonlabels"))))).labels.ids > 0
    assert (found & wanted).sum() / (found | wanted).sum() > 0.75  # half a pixel around 8 x 8
    assert np.array_equal(found & wanted, wanted)


def test_a_turned_rectangle_turns_around_its_first_corner(make):
    x, y = per_cent(20, 4)
    width, height = per_cent(8, 4)
    box = {"x": x, "y": y, "width": width, "height": height, "rotation": 90}
    found = read(make(task(done(region(box, "rectanglelabels"))))).labels.ids > 0
    assert np.array_equal(found, mask(slice(4, 12), slice(16, 20)))


def test_an_ellipse_is_the_pixels_inside(make):
    x, y = per_cent(20, 10)
    rx, ry = 100 * 12 / SIZE[1], 100 * 6 / SIZE[0]
    value = {"x": x, "y": y, "radiusX": rx, "radiusY": ry, "rotation": 0}
    found = read(make(task(done(region(value, "ellipselabels"))))).labels.ids > 0
    assert found.sum() == pytest.approx(np.pi * 12 * 6, rel=0.03)
    assert np.flatnonzero(found.any(0))[[0, -1]].tolist() == [8, 31]
    turned = read(make(task(done(region({**value, "rotation": 90}, "ellipselabels"))))).labels.ids
    assert np.flatnonzero((turned > 0).any(0))[[0, -1]].tolist() == [14, 25]


def test_answers_without_an_area_are_left_out(make):
    choice = {"type": "choices", "from_name": "c", "to_name": "image", "value": {"choices": ["x"]}}
    relation = {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"}
    truth = read(make(task(done(choice, relation, brush(mask(1, 1))))))
    assert truth.labels.ids.sum() == 1


def test_which_annotation_counts(make):
    old = done(brush(mask(1, 1)), updated_at="2026-01-01T00:00:00Z")
    new = done(brush(mask(2, 2)), updated_at="2026-02-01T00:00:00Z")
    best = done(brush(mask(3, 3)), updated_at="2025-01-01T00:00:00Z", ground_truth=True)
    skipped = done(brush(mask(4, 4)), updated_at="2027-01-01T00:00:00Z", was_cancelled=True)
    assert np.argwhere(read(make(task(old, new, skipped))).labels.ids).tolist() == [[2, 2]]
    assert np.argwhere(read(make(task(old, best, new))).labels.ids).tolist() == [[3, 3]]


def test_tasks_that_nobody_has_looked_at_are_left_out(make):
    looked = task(done(), image="/data/upload/3/0123abcd-b%20c.png")
    data = make(task(), task(done(was_cancelled=True)), looked)
    assert list(data.names) == ["b c"]
    assert not read(data).labels.ids.any()


def test_predictions_on_demand(make):
    tasks = [task(predictions=[done(brush(mask(1, 1)))])]
    assert "has annotations" in usage(make(*tasks))
    assert read(make(*tasks, regions="predictions")).labels.ids.sum() == 1


@pytest.mark.parametrize(
    "address",
    [
        "/data/local-files/?d=deep/inside/b%20c.png",
        "/data/upload/12/9f3c21ab-b%20c.png",
        "s3://bucket/photos/b c.png",
        "https://host/photos/b%20c.png?token=1",
        "C:\\photos\\b c.png",
        "../../b c.png",
    ],
)
def test_photos_are_found_by_the_end_of_their_address(make, address):
    assert list(make(task(done(), image=address)).names) == ["b c"]


def test_the_field_of_the_photo(make):
    odd = {"data": {"picture": "x/a.png", "number": 3}, "annotations": [done()]}
    assert list(make(odd).names) == ["a"]
    odd["data"]["note"] = "hello"
    assert "no photo under 'image', but holds picture, number, note" in usage(make(odd))
    assert list(make(odd, field="picture").names) == ["a"]


def test_named_classes_have_their_ids(make):
    data = make(task(done(brush(mask(1, 1), label="dog"))), class_names=("cat", "dog"))
    assert data.classes == {1: "cat", 2: "dog"}
    assert read(data).labels.ids.max() == 2
    assert "has the class 'dog'" in bad(
        make(task(done(brush(mask(1, 1), label="dog"))), class_names=("cat", "owl"))
    )


# ---- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"image": "a", "tag": []}]', "[" * 9999])
def test_another_file_is_told(make, tmp_path, text):
    data = make(task(done()))
    (tmp_path / "export.json").write_text(text)
    assert "is no list of tasks as Label Studio exports it" in usage(data)


def test_missing_files_are_told(make, tmp_path):
    there = make(task(done()))
    lost = LabelStudio(annotations=tmp_path / "no.json", root=tmp_path / "photos")
    assert "cannot be read (No such file or directory)" in usage(lost)
    for odd, why in ((tmp_path, "Is a directory"), (Path("/dev/zero"), "it is a device, not")):
        lost = LabelStudio(annotations=odd, root=tmp_path / "photos")
        assert f"the annotations '{odd}' cannot be read ({why}" in usage(lost)
    lost = LabelStudio(annotations=there.annotations, root=tmp_path / "no")
    assert "there is no folder" in usage(lost)
    gone = make(task(done(), image="/data/upload/1/gone.png"))
    assert "gone.png' does not exist" in bad(gone)


@pytest.mark.parametrize("address", ["", "..", "https://host/", "a/%00.png"])
def test_an_address_without_a_file_is_told(make, address):
    assert "has no photo under 'image'" in usage(make(task(done(), image=address)))


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (brush(mask(1, 1), original_width=41), "the 1., that was drawn on 41x20 pixels, but the"),
        (region({"rle": [0, 1]}), "that has an rle that is cut off"),
        (region({"points": [[1, 1], [2, 2]]}, "polygonlabels"), "is a polygon of 2 points"),
        (region({"points": [[1, 1], [1e9, 2], [3, 3]]}, "polygonlabels"), "far outside"),
        (region({"points": "no"}, "polygonlabels"), "is no region"),
        (region({"x": 1, "y": 2}, "rectanglelabels"), "is no region: Field required"),
        (region({"x": 1, "y": 1, "radiusX": 1e300, "radiusY": 1}, "ellipselabels"), "far outside"),
    ],
)
def test_a_region_that_is_none_is_told(make, made, sentence):
    assert sentence in bad(make(task(done(made))))
