"""The data set `voc`: PASCAL VOC 2012 in its own layout, generated small and real."""

from __future__ import annotations

import json

import numpy as np
import PIL.Image
import pytest

from segkit import BadImageError, UsageError, palette, write_png
from segkit.cli.main import main
from segkit_plugins.dataset.voc import CLASSES, Voc

MAPS = {"2007_1": [0, 15, 255], "2007_2": [8, 8, 15], "2007_3": [0, 0, 255], "2007_4": [8, 0, 0]}


@pytest.fixture
def root(tmp_path):
    """Four photos of 3x1 pixels, two of them in train and two in val; one has instances."""
    root = tmp_path / "VOC2012"
    (root / "JPEGImages").mkdir(parents=True)
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for name, ids in MAPS.items():
        PIL.Image.new("RGB", (3, 1), "olive").save(root / "JPEGImages" / f"{name}.jpg")
        path = root / "SegmentationClass" / f"{name}.png"
        write_png(path, np.array([ids], np.uint8), palette())
    objects = np.array([[1, 2, 255]], np.uint8)
    write_png(root / "SegmentationObject" / "2007_2.png", objects, palette())
    (lists / "train.txt").write_text("2007_2\n2007_1\n")
    (lists / "val.txt").write_text("2007_3\n\n2007_4\n2007_3\n")
    return root


def message(data, error=UsageError):
    with pytest.raises(error) as info:
        _ = data.names[0] and data[0]
    return str(info.value)


def test_photos_in_the_order_of_the_list(root):
    data = Voc(root=root, split="train")
    assert list(data.names) == ["2007_2", "2007_1"]
    image, truth = data[1]
    assert (image.name, image.size) == ("2007_1", (1, 3))
    assert truth.labels.ids.tolist() == [[0, 15, 255]]
    assert truth.labels.classes == data.classes
    assert truth.instances is None
    assert data.has_truth


def test_instances_where_there_are_some(root):
    assert Voc(root=root, split="train")[0][1].instances.tolist() == [[1, 2, 255]]


def test_the_classes_are_voc_s():
    assert len(CLASSES) == 20
    assert [CLASSES[i] for i in (1, 8, 11, 15, 16, 18, 20)] == [
        *("aeroplane", "cat", "diningtable", "person", "pottedplant", "sofa", "tvmonitor")
    ]


def test_val_is_the_default_and_a_name_listed_twice_comes_once(root):
    assert list(Voc(root=root).names) == ["2007_3", "2007_4"]


def test_trainval_is_both_unless_it_has_a_list_of_its_own(root):
    assert list(Voc(root=root, split="trainval").names) == [
        *("2007_2", "2007_1", "2007_3", "2007_4")
    ]
    (root / "ImageSets" / "Segmentation" / "trainval.txt").write_text("2007_4\n")
    assert list(Voc(root=root, split="trainval").names) == ["2007_4"]


def test_a_list_of_one_s_own(root, tmp_path):
    (tmp_path / "mine.txt").write_text("2007_4\n2007_2\n")
    assert list(Voc(root=root, split=str(tmp_path / "mine.txt")).names) == ["2007_4", "2007_2"]


def test_only_classes_keeps_what_shows_nothing_else(root):
    def kept(*names):
        return list(Voc(root=root, split="trainval", only_classes=names).names)

    assert kept("cat") == ["2007_3", "2007_4"]  # a photo without any object shows nothing else
    assert kept("person") == ["2007_1", "2007_3"]
    assert kept("person", "cat") == ["2007_2", "2007_1", "2007_3", "2007_4"]
    data = Voc(root=root, split="trainval", only_classes=("cat",))
    assert data[1][0].name == "2007_4"


def test_a_map_that_cannot_be_read_is_kept_and_fails_alone(root):
    (root / "SegmentationClass" / "2007_1.png").write_bytes(b"torn")
    data = Voc(root=root, split="train", only_classes=("cat", "person"))
    assert list(data.names) == ["2007_2", "2007_1"]
    with pytest.raises(BadImageError, match="is not an image that can be read"):
        data[1]
    assert data[0][1].labels.ids.tolist() == [[8, 8, 15]]


def test_only_classes_that_leave_nothing(root):
    assert message(Voc(root=root, split="train", only_classes=("cow",))) == (
        "none of the 2 photos of 'train' shows only cow; give more --voc.only-classes"
    )


@pytest.mark.parametrize(
    ("name", "advice"),
    [("Sheep", "did you mean 'sheep'?"), ("tv-monitor", "did you mean 'tvmonitor'?")],
)
def test_a_class_that_voc_does_not_know(root, name, advice):
    data = Voc(root=root, only_classes=("cat", name))
    assert message(data) == f"--voc.only-classes: VOC has no class '{name}'; {advice}"


def test_folders_that_are_not_there(root, tmp_path):
    assert message(Voc(root=tmp_path)) == (
        f"the data set 'voc' should have a folder '{tmp_path / 'JPEGImages'}', but has none; "
        f"did you mean --voc.root '{root}'?"
    )
    assert message(Voc(root=root / "JPEGImages")).endswith(
        "but has none; give the folder that holds 'JPEGImages' and 'SegmentationClass' "
        "as --voc.root"
    )
    with pytest.raises(UsageError, match="root"):
        Voc()


def test_a_split_that_is_not_there(root):
    assert message(Voc(root=root, split="test")) == (
        f"--voc.split 'test' is neither a list in '{root / 'ImageSets' / 'Segmentation'}' "
        "(it has train, val) nor a file; name one of them"
    )


def test_a_split_without_photos(root):
    (root / "ImageSets" / "Segmentation" / "val.txt").write_text("\n")
    assert message(Voc(root=root)) == (
        "the split 'val' lists no photo; give a list with a name a line"
    )


def test_a_photo_without_its_files_fails_alone(root):
    (root / "SegmentationClass" / "2007_3.png").unlink()
    data = Voc(root=root)
    assert message(data, BadImageError) == (
        f"'{root / 'JPEGImages' / '2007_3.jpg'}' has no class map "
        f"'{root / 'SegmentationClass' / '2007_3.png'}'; add it or take the photo out of its list"
    )
    assert data[1][0].name == "2007_4"
    (root / "JPEGImages" / "2007_4.jpg").unlink()
    with pytest.raises(BadImageError, match=r"2007_4.jpg' does not exist"):
        data[1]


def test_maps_that_do_not_fit_fail_alone(root):
    path = root / "SegmentationClass" / "2007_3.png"
    write_png(path, np.array([[0, 21, 255]], np.uint8), palette())
    assert message(Voc(root=root), BadImageError) == (
        f"the class map '{path}' holds the class id 21, but VOC has 0 to 20 and 255 (void); "
        "use the data set's own, or --dataset folder for other classes"
    )
    write_png(path, np.zeros((2, 3), np.uint8), palette())
    assert "is 3x2, another size than its image, which is 3x1" in message(
        Voc(root=root), BadImageError
    )
    write_png(root / "SegmentationObject" / "2007_4.png", np.zeros((3, 3), np.uint8))
    with pytest.raises(BadImageError, match=r"SegmentationObject.*another size"):
        Voc(root=root)[1]


def test_from_the_command_line(root, tmp_path, capsys):
    (root / "SegmentationClass" / "2007_2.png").unlink()
    options = ["--dataset", "voc", "--voc.root", root, "--voc.split", "trainval"]
    options += ["--voc.only-classes", "cat", "--voc.only-classes", "cow", "--device", "cpu"]
    with pytest.raises(SystemExit) as stop:
        main([str(o) for o in ("run", *options, "--prompt", "center", "-o", tmp_path / "out")])
    assert stop.value.code == 1
    assert "2007_2" in capsys.readouterr().err
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["images"], summary["failed"]) == (3, 1)
    # The classifier's names are none of VOC's, so figures that compare names say nothing.
    assert not {"class-dice", "class-iou", "voc-miou"} & summary["scores"].keys()
    assert "voc-miou" in " ".join(summary["notes"])
    table = summary["details"]["voc-miou"]["classes"]
    true = {row["name"]: row["pixels"] for row in table}
    assert true == {"background": 4, "cat": 1}  # void left out
    assert "Per class" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.data("VOCdevkit/VOC2012")
def test_the_real_set(real_data):
    data = Voc(root=real_data, split="train")
    listed = (real_data / "ImageSets/Segmentation/train.txt").read_text().split()
    assert list(data.names) == listed
    shown = {}
    for i in range(0, len(data), max(1, len(data) // 20)):
        image, truth = data[i]
        assert truth.labels.ids.shape == image.size
        with PIL.Image.open(real_data / "SegmentationClass" / f"{image.name}.png") as picture:
            np.testing.assert_array_equal(truth.labels.ids, np.asarray(picture))
        shown[image.name] = {CLASSES[j] for j in np.unique(truth.labels.ids) if j not in (0, 255)}
    animals = {"bird", "cat", "cow", "dog", "horse", "sheep"}
    kept = set(Voc(root=real_data, split="train", only_classes=tuple(sorted(animals))).names)
    assert {name for name, found in shown.items() if found <= animals} == kept & shown.keys()
    assert 0 < len(kept) < len(data)
