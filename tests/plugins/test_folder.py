"""The data set `folder`: images and masks with class ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from segkit import BadImageError, UsageError, palette, write_png
from segkit_plugins.dataset.folder import Folder


def make(root: Path, colours: np.ndarray | None = None, **masks: list[int]) -> dict[str, Path]:
    """Images of one row, one for each mask; the options that name the two folders."""
    (root / "images").mkdir()
    for name, ids in masks.items():
        PIL.Image.new("RGB", (len(ids), 1), "olive").save(root / "images" / f"{name}.jpg")
        write_png(root / "masks" / f"{name}.png", np.array([ids], np.uint8), colours)
    return {"images": root / "images", "masks": root / "masks"}


def ids(data: Folder) -> list[list[int]]:
    return [data[i][1].labels.ids[0].tolist() for i in range(len(data))]


@pytest.mark.parametrize("colours", [None, palette()])
def test_class_ids_as_in_the_file(tmp_path, colours):
    data = Folder(**make(tmp_path, colours, b=[0, 2, 255], a=[3, 3, 1]))
    assert list(data.names) == ["a", "b"]
    assert ids(data) == [[3, 3, 1], [0, 2, 255]]
    assert data.classes == {}
    assert data.has_truth
    assert data[0][0].name == "a"


def test_class_names(tmp_path):
    names = ("background", "cat", "dog")
    data = Folder(**make(tmp_path, a=[0, 1], b=[0, 255]), class_names=names)
    assert data.classes == {1: "cat", 2: "dog"}
    assert ids(data) == [[0, 1], [0, 255]]  # two classes are named, so 255 is void
    assert data[0][1].labels.classes == {1: "cat", 2: "dog"}


def test_class_names_from_a_file(tmp_path):
    (tmp_path / "names.txt").write_text("background\ncat\n\nsea lion \n")
    options = make(tmp_path, a=[0, 2])
    data = Folder(**options, class_names=(str(tmp_path / "names.txt"),))
    assert data.classes == {1: "cat", 2: "sea lion"}
    with pytest.raises(UsageError) as info:
        _ = Folder(**options, class_names=(str(tmp_path / "none.txt"),)).classes
    assert str(info.value) == (
        f"the class names '{tmp_path / 'none.txt'}' cannot be read (No such file or directory); "
        "give a text file with a name a line, or the names themselves"
    )


def test_a_class_named_twice(tmp_path):
    data = Folder(**make(tmp_path, a=[0, 1]), class_names=("cat", "cat"))
    with pytest.raises(UsageError, match="the class names hold 'cat' twice"):
        _ = data.names


def test_more_than_254_classes_skip_the_id_of_void(tmp_path):
    names = tuple(f"class {i}" for i in range(300))
    classes = Folder(**make(tmp_path, a=[0, 1]), class_names=names).classes
    assert len(classes) == 300
    assert 255 not in classes
    assert (classes[254], classes[256]) == ("class 253", "class 254")


def test_an_id_without_a_name(tmp_path):
    data = Folder(**make(tmp_path, a=[0, 7], b=[0, 1]), class_names=("cat", "dog"))
    with pytest.raises(BadImageError) as info:
        data[0]
    assert str(info.value) == (
        f"the mask '{tmp_path / 'masks' / 'a.png'}' holds the class id 7, "
        "but names are given for 1 ('cat') to 2 ('dog'); name all classes, each by a flag of its "
        "own, or none"
    )
    assert data[1][1].labels.ids.tolist() == [[0, 1]]


def test_masks_of_one_object(tmp_path):
    data = Folder(**make(tmp_path, a=[0, 255], b=[255, 255]))
    assert data.classes == {1: "object"}
    assert ids(data) == [[0, 1], [1, 1]]
    data = Folder(images=data.images, masks=data.masks, class_names=("polyp",))
    assert data.classes == {1: "polyp"}
    assert ids(data) == [[0, 1], [1, 1]]


def test_what_values_mean_can_be_said(tmp_path):
    options = make(tmp_path, a=[0, 255], b=[0, 100])
    assert ids(Folder(**options)) == [[0, 255], [0, 100]]
    assert ids(Folder(**options, values="object")) == [[0, 1], [0, 1]]
    assert Folder(**options, values="object").classes == {1: "object"}
    (tmp_path / "masks" / "b.png").unlink()
    assert ids(Folder(images=tmp_path / "images" / "a*", masks=options["masks"])) == [[0, 1]]
    only_a = Folder(images=tmp_path / "images" / "a*", masks=options["masks"], values="ids")
    assert ids(only_a) == [[0, 255]]


def test_options_are_checked(tmp_path):
    with pytest.raises(UsageError, match="masks"):
        Folder(images=tmp_path)
    with pytest.raises(UsageError, match="'auto', 'object' or 'ids'"):
        Folder(images=tmp_path, masks=tmp_path, values="colour")


def test_folders_that_are_not_there(tmp_path):
    options = make(tmp_path, a=[0, 1])
    with pytest.raises(UsageError, match=r"there is no file '.*mask'; did you mean '.*masks'\?"):
        _ = Folder(images=options["images"], masks=tmp_path / "mask").names
    with pytest.raises(UsageError, match=r"there is no file '.*image'; did you mean '.*images'\?"):
        _ = Folder(images=tmp_path / "image", masks=options["masks"]).names


@pytest.mark.data("ecssd")
def test_ecssd(real_data):
    data = Folder(images=real_data / "images", masks=real_data / "masks")
    assert len(data) == len([*(real_data / "images").iterdir()])
    assert data.classes == {1: "object"}
    image, truth = data[0]
    assert truth.labels.ids.shape == image.size
    assert set(np.unique(truth.labels.ids)) == {0, 1}


@pytest.mark.data("VOCdevkit/VOC2012")
def test_voc_masks(real_data):
    data = Folder(images=real_data / "JPEGImages", masks=real_data / "SegmentationClass")
    assert data.classes == {}
    assert set(np.unique(data[0][1].labels.ids)) <= {*range(21), 255}
