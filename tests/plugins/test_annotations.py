"""What the writers of annotations share: objects with names, class ids, files."""

from __future__ import annotations

import errno
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from writer_toys import CATALOG, SIZE, blobs, labels, masks_of, picture

from segkit import BadValueError, MissingExtraError, Prompt, Prompts, UsageError
from segkit.running.recipe import make_step
from segkit_plugins.writer._annotations import objects_in
from segkit_plugins.writer._files import finished_files
from segkit_plugins.writer._numbering import ClassIds

WRITERS = ("coco", "labelme", "supervision", "voc", "yolo")
LEFT, RIGHT = np.array([[1, 1, 0, 0]], bool), np.array([[0, 0, 1, 1]], bool)


def names(masks, prompts=None, made=None, classes=None):
    return [one.name for one in objects_in("coco", masks, prompts, made, classes)]


# ---- objects ----------------------------------------------------------------------------------


def test_a_name_is_the_masks_own_else_its_prompts_else_object():
    prompts = Prompts(tuple(Prompt(points=[[0, 0]], name=n) for n in ("dog", "bird", None)))
    masks = masks_of([LEFT, RIGHT, LEFT], ("cat", None, None))
    assert names(masks, prompts) == ["cat", "bird", "object"]
    assert names(masks, None) == ["cat", "object", "object"]
    assert names(masks, prompts, classes={1: "object"}) == ["object"] * 3


def test_a_nameless_mask_takes_the_class_that_the_class_map_has_there():
    made = labels([[3, 3, 0, 7]], {3: "cat"})
    masks = masks_of([LEFT, LEFT | RIGHT, np.array([[0, 0, 1, 0]]), np.array([[0, 0, 0, 1]])])
    assert names(masks, made=made) == ["cat", "cat", "class 7"]
    assert names(masks, made=made, classes={7: "dog"}) == ["cat", "cat", "dog"]
    assert names(masks_of([LEFT], ["fox"]), made=made) == ["fox"]
    void = labels([[255, 255, 255, 255]], {})
    assert names(masks, made=void) == []


def test_without_masks_each_class_of_the_map_is_an_object():
    found = objects_in("coco", None, None, labels([[0, 2, 255, 5]], {2: "cat"}), {5: "dog"})
    assert [(one.name, one.score, one.wanted) for one in found] == [("cat", 1, 2), ("dog", 1, 5)]
    assert found[0].mask.tolist() == [[False, True, False, False]]


def test_empty_masks_are_no_objects():
    assert names(masks_of([LEFT, LEFT & RIGHT])) == ["object"]
    assert names(masks_of(np.zeros((0, 1, 4)))) == []


@pytest.mark.parametrize("name", WRITERS)
def test_neither_masks_nor_a_class_map(tmp_path, name):
    with pytest.raises(UsageError) as info:
        make_step(CATALOG, "writer", name, {}).write(tmp_path, picture())
    assert str(info.value) == (
        f"--write {name} needs masks or a class map, and nothing before it makes one; "
        "add --segmenter"
    )


# ---- class ids --------------------------------------------------------------------------------


def test_ids_hold_for_all_images_of_a_run(tmp_path):
    first = ClassIds(tmp_path, {3: "cat", 1: "dog"})
    assert [first.id(n) for n in ("dog", "cat", "fox")] == [1, 3, 4]
    assert first.id("sky", wanted=9) == 9
    assert first.id("sea", wanted=9) == 10
    assert first.place("sky") == 3
    first.save()
    again = ClassIds(tmp_path, {3: "cat", 1: "dog"})
    assert [again.id(n) for n in ("new", "sea", "fox")] == [11, 10, 4]
    assert again.place("sky") == 3
    # Where the data set has other classes now, what it says comes first.
    other = ClassIds(tmp_path, {4: "owl"})
    assert (other.id("owl"), other.id("cat"), other.id("fox")) == (4, 3, 11)


@pytest.mark.parametrize("text", ["{", "[]", '{"a": "cat"}'])
def test_a_damaged_list_of_classes_is_as_good_as_none(tmp_path, text):
    (tmp_path / "classes.json").write_text(text)
    ids = ClassIds(tmp_path, {3: "cat"})
    assert (ids.id("cat"), ids.id("dog")) == (3, 4)
    ids.save()
    assert json.loads((tmp_path / "classes.json").read_text()) == {"3": "cat", "4": "dog"}


@pytest.mark.parametrize("name", WRITERS)
def test_images_may_have_the_name_of_the_list_of_classes(tmp_path, name):
    writer = make_step(CATALOG, "writer", name, {})
    for image in ("classes", "z"):
        written = writer.write(tmp_path, picture(name=image), masks=masks_of(blobs(1)))
        assert all(path.is_file() for path in written)


# ---- files ------------------------------------------------------------------------------------


def test_only_files_of_finished_images_count(tmp_path):
    (tmp_path / "parts").mkdir()
    for name in "abc":
        (tmp_path / f"parts/{name}.json").write_text("{}")
    finished = finished_files(tmp_path, "parts", ".json", ["c", "a", "d"])
    assert [*finished] == [tmp_path / "parts/a.json", tmp_path / "parts/c.json"]


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("image", ["../a", "a/b", "a\\b", "/a", "."])
def test_a_name_cannot_lead_out_of_the_folder(tmp_path, name, image):
    writer = make_step(CATALOG, "writer", name, {})
    with pytest.raises(BadValueError, match=r"should be a file's name, but is .*unique_names"):
        writer.write(tmp_path, picture(name=image), masks=masks_of(blobs(1)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_told_and_leaves_no_part(tmp_path, monkeypatch, name):
    def full(self: Path, target: Path) -> Path:
        assert self.stat().st_size  # written, and not yet in its place
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    writer = make_step(CATALOG, "writer", name, {})
    with pytest.raises(OSError, match="No space left on device"):
        writer.write(tmp_path, picture(), masks=masks_of(blobs(1)))
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_without_pycocotools_the_install_line_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    writer = make_step(CATALOG, "writer", "coco", {})
    for work in (
        lambda: writer.open("cpu"),
        lambda: writer.write(tmp_path, picture(), masks=masks_of(blobs(1))),
    ):
        with pytest.raises(MissingExtraError) as info:
            work()
        assert str(info.value) == (
            "--write coco needs pycocotools, which is not installed; "
            "run: pip install 'segkit[coco]'"
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        *((name, kept) for name in ("coco", "labelme", "yolo") for kept in ("jpg", "png", "none")),
        *(("voc", kept) for kept in ("jpg", "none")),
    ],
)
def test_photos_are_written_as_asked(tmp_path, name, kept):
    import PIL.Image

    photo = picture()
    writer = make_step(CATALOG, "writer", name, {"images": kept})
    made = writer.write(tmp_path, photo, masks=masks_of(blobs(1)))
    assert all(p.is_file() and tmp_path in p.parents for p in made)
    found = [p for p in made if p.name == f"a.{kept}" and "Segmentation" not in p.parent.name]
    assert len(found) == (kept != "none")
    for path in found:
        with PIL.Image.open(path) as file:
            pixels = np.asarray(file)
        assert pixels.shape == (*SIZE, 3)
        if kept == "png":
            assert np.array_equal(pixels, photo.pixels)
        else:
            assert np.abs(pixels.astype(int) - photo.pixels).mean() < 2
