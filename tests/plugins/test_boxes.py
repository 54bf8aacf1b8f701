"""boxes: every form of file as named prompts, ids through the data set's classes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from segkit import BadImageError, Image, UsageError, find_images, read_image, run
from segkit.plugins.catalog import Catalog
from segkit.running.recipe import Part, Recipe
from segkit_plugins.prompt.boxes import Boxes

CLASSES = {1: "cat", 2: "dog", 17: "sheep"}
IMAGE = Image(np.zeros((40, 60, 3), np.uint8), "a")

XML = """<annotation><size><width>{width}</width><height>40</height><depth>3</depth></size>
<object><name>dog</name><bndbox><xmin>5</xmin><ymin>9</ymin><xmax>20</xmax><ymax>30</ymax></bndbox>
<part><name>head</name><bndbox><xmin>6</xmin><ymin>9</ymin><xmax>9</xmax><ymax>12</ymax></bndbox>
</part></object><object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>60</xmax>
<ymax>40</ymax></bndbox></object></annotation>"""


def asked(file, image=IMAGE, classes=CLASSES, **options):
    step = Boxes(file=file, **options)
    step.open("cpu")
    return [(p.name, p.score, p.box.tolist()) for p in step(image, classes)]


def saved(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_plain_json(tmp_path):
    boxes = {
        "a.jpg": [
            [4, 8, 19, 29, 2],
            [0, 0, 59, 39, 17, 0.5],
            [3, 3, 3, 3, "owl", 0.7],
            [1, 2, 3, 4],
        ],
        "b": [],
    }
    path = saved(tmp_path / "boxes.json", boxes)
    assert asked(path) == [
        ("dog", 1.0, [4, 8, 19, 29]),
        (None, 1.0, [1, 2, 3, 4]),
        ("owl", 0.7, [3, 3, 3, 3]),
        ("sheep", 0.5, [0, 0, 59, 39]),
    ]
    assert asked(path, Image(IMAGE.pixels, "b")) == []
    with pytest.raises(BadImageError) as error:
        asked(path, Image(IMAGE.pixels, "c"))
    assert str(error.value) == (
        f"'{path}' has no boxes for the image 'c'; add them, or leave the image out"
    )


def test_voc_counts_from_one_and_parts_are_no_objects(tmp_path):
    path = saved(tmp_path / "a.xml", XML.format(width=60))
    expected = [("dog", 1.0, [4, 8, 19, 29]), ("cat", 1.0, [0, 0, 59, 39])]
    assert asked(path) == asked(tmp_path) == expected
    with pytest.raises(BadImageError, match="has no boxes for the image 'b'"):
        asked(tmp_path, Image(IMAGE.pixels, "b"))
    path = saved(path, XML.format(width=61))
    with pytest.raises(BadImageError) as error:
        asked(tmp_path)
    assert str(error.value) == (
        f"'{path}' is for an image of 61x40, but 'a' is 60x40; scale the image or the boxes"
    )
    for text in ("<annotation>", XML.replace("<xmin>5</xmin>", "").format(width=60)):
        saved(path, text)
        with pytest.raises(BadImageError, match="cannot be read as a VOC annotation"):
            asked(tmp_path)


def test_yolo_is_in_shares_and_counts_classes_from_zero(tmp_path):
    path = saved(tmp_path / "a.txt", "1 0.2 0.475 0.26666666 0.55\n\n2 .5 .5 1 1 0.25\n")
    expected = [("dog", 1.0, [4, 8, 19, 29]), ("sheep", 0.25, [0, 0, 59, 39])]
    for file in (path, tmp_path):
        for (name, score, box), want in zip(asked(file), expected, strict=True):
            assert (name, score) == want[:2]
            assert box == pytest.approx(want[2], abs=1e-4)
    assert asked(tmp_path, Image(IMAGE.pixels, "b")) == []  # no file, no boxes: the format's rule
    names = saved(tmp_path / "names", "x\ny\nz\n")
    (tmp_path / "names").rename(tmp_path / "names.txt")
    assert [n for n, _, _ in asked(path, names=(str(names) + ".txt",))] == ["y", "z"]
    for line in ("1 .5 .5 .1", "cat .5 .5 .1 .1", "-1 .5 .5 .1 .1", "1 .1 .1 .2 .1 .2 .2 .1 .2"):
        saved(path, f"1 .5 .5 1 1\n{line}")
        with pytest.raises(BadImageError) as error:
            asked(path)
        assert str(error.value) == (
            f"line 2 of '{path}' should be 'class x y width height' or the same with a score, but "
            f"is '{line}'; correct it there"
        )


def coco(**more):
    return {
        "images": [{"id": 7, "file_name": "sub/a.jpg", "height": 40, "width": 60}],
        "categories": [{"id": 44, "name": "bottle"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 44, "bbox": [4, 8, 16, 22]},
            {"id": 2, "image_id": 7, "category_id": 44, "bbox": [0, 0, 9, 9], "iscrowd": 1},
            {"id": 3, "image_id": 7, "category_id": 44, "bbox": [9, 9, 0, 0], "score": 0.5},
        ],
        **more,
    }


def test_coco_has_its_own_names_and_leaves_crowds_out(tmp_path):
    path = saved(tmp_path / "c.json", coco())
    assert asked(path) == [("bottle", 1.0, [4, 8, 19, 29]), ("bottle", 0.5, [8.5, 8.5, 8.5, 8.5])]
    assert asked(saved(path, coco(annotations=[]))) == []
    with pytest.raises(BadImageError, match="has no boxes for the image 'b'"):
        asked(path, Image(IMAGE.pixels, "b"))
    with pytest.raises(BadImageError, match="the image 'a' is 30x40, but its boxes are for 60x40"):
        asked(path, Image(IMAGE.pixels[:, :30], "a"))


def test_a_list_of_detections_names_images_by_id_or_number(tmp_path):
    one = {"category_id": 2, "bbox": [4, 8, 16, 22]}
    detections = [{"image_id": 139, "score": 0.25, **one}, {"image_id": "a", "score": 0.5, **one}]
    path = saved(tmp_path / "d.json", detections)
    assert asked(path) == [("dog", 0.5, [4, 8, 19, 29])]
    assert asked(path, Image(IMAGE.pixels, "000000000139")) == [("dog", 0.25, [4, 8, 19, 29])]
    assert asked(path, Image(IMAGE.pixels, "000000000140")) == []


def test_names_classes_confidence_and_tables(tmp_path):
    path = saved(tmp_path / "b.json", {"a": [[0, 0, 9, 9, 1, 0.9], [0, 0, 9, 9, 2, 0.4]]})

    def names(classes=CLASSES, **options):
        return [n for n, _, _ in asked(path, classes=classes, **options)]

    assert names() == ["cat", "dog"]
    assert names(confidence=0.5) == ["cat"]
    assert names(classes={}, names=("x", "y")) == ["x", "y"]
    table = saved(tmp_path / "t.csv", "dog,hound\n")
    assert names(table=str(table)) == ["hound"]
    step = Boxes(file=path, classes=("dog",))
    assert [p.name for p in step(IMAGE, CLASSES)] == ["dog"]


@pytest.mark.parametrize(
    ("classes", "options", "among"),
    [
        ({}, {}, "the data set names no classes"),
        ({1: "cat", 2: "dog"}, {}, "the data set names only 1 to 2"),
        (CLASSES, {"names": ("x",)}, "--boxes.names names only 1 to 1"),
    ],
)
def test_an_id_that_has_no_name(tmp_path, classes, options, among):
    path = saved(tmp_path / "b.json", {"a": [[0, 0, 9, 9, 17]]})
    with pytest.raises(BadImageError) as error:
        asked(path, classes=classes, **options)
    assert str(error.value) == (
        f"'{path}' has for the image 'a' a box of the class id 17, but {among}; give "
        "--boxes.names, or a data set with these classes"
    )


@pytest.mark.parametrize(
    "box",
    [
        "9, 0, 4, 9",
        "0, 9, 9, 4",
        "9, 0, 8, 9",
        "0, 9, 9, 8.5",
        "60, 0, 70, 9",
        "-9, 0, -1, 9",
        "NaN, 0, 9, 9",
    ],
)
def test_a_box_that_is_none(tmp_path, box):
    path = saved(tmp_path / "b.json", f'{{"a": [[{box}, 1]], "b": [[-5, 3, 99, 5, 1]]}}')
    with pytest.raises(BadImageError) as error:
        asked(path)
    said = str(error.value)
    assert said.startswith(f"'{path}' has for the image 'a' (60x40) the box ")
    assert said.endswith("which is inverted, outside the image or not finite; correct it there")
    # One that reaches over the border is cut.
    assert asked(path, Image(IMAGE.pixels, "b")) == [("cat", 1.0, [0, 3, 59, 5])]
    tiny = Image(np.zeros((1, 1, 3), np.uint8), "a")
    path = saved(path, {"a": [[0, 0, 0, 0, 1]]})
    assert asked(path, tiny) == [("cat", 1.0, [0, 0, 0, 0])]


def test_files_of_no_known_form(tmp_path):
    with pytest.raises(UsageError, match="there is no such file"):
        asked(tmp_path / "none.json")
    with pytest.raises(UsageError, match="is a folder without XML and txt files"):
        asked(tmp_path)
    path = saved(tmp_path / "b.json", "{")
    with pytest.raises(UsageError, match="cannot be read as JSON"):
        asked(path)
    twice = [{"id": 7, "file_name": "a.jpg"}, {"id": 8, "file_name": "b/a.png"}]
    strange = [{"id": 1, "image_id": 8, "category_id": 44, "bbox": [0, 0, 1, 1]}]
    for content, found in [
        ({"a": [[1, 2, 3]]}, "not enough values"),
        ({"a": [[1, 2, 3, 4, 1, 0.5, 0]]}, "a box of 'a' has 7 values"),
        ({"a": 3}, "its entries are of another form"),
        ([{"image_id": 1}], "it lacks 'category_id'"),
        (3, "it is neither an object nor a list"),
        (coco(images=twice), "two of its images are called 'a' or have the id 8"),
        (coco(annotations=strange), "the annotation 1 is of the image 8, which 'images' lacks"),
    ]:
        saved(path, content)
        with pytest.raises(UsageError) as error:
            asked(path)
        said = str(error.value)
        assert said.startswith(f"--boxes.file {path} holds JSON that is neither COCO's nor ")
        assert found in said


def test_a_data_sets_classes_reach_the_prompts_and_the_labels(tmp_path):
    from PIL import Image as Picture

    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    truth = np.zeros((40, 60), np.uint8)
    truth[8:30, 4:20] = 2
    Picture.fromarray(np.repeat(truth[..., None] * 120, 3, 2)).save(tmp_path / "images/a.png")
    Picture.fromarray(truth).save(tmp_path / "masks/a.png")
    path = saved(tmp_path / "boxes.json", {"a": [[4, 8, 19, 29, 2]]})
    data = {"images": tmp_path / "images", "masks": tmp_path / "masks"}
    recipe = Recipe(
        {
            "dataset": (Part("folder", {**data, "class_names": ("cat", "dog")}),),
            "prompt": (Part("boxes", {"file": path}),),
            "segmenter": (Part("sam"),),
            "metric": (Part("miou"),),
        }
    )
    catalog = Catalog(third_party=False)
    (summary,) = run({"": recipe.build(catalog)}, tmp_path / "out", catalog=catalog).values()
    assert summary["scores"]["miou"] > 0.8
    line = json.loads((tmp_path / "out/results.jsonl").read_text())
    assert line["classes"] == {"1": "cat", "2": "dog"}


@pytest.mark.data("VOCdevkit/VOC2012/boxes.json")
def test_vocs_boxes(real_data):
    names = [f"class {i}" for i in range(1, 21)]
    step = Boxes(file=real_data, names=tuple(names))
    root = real_data.parent
    train = (root / "ImageSets/Segmentation/train.txt").read_text().split()
    for name in train[:20]:
        image = read_image(root / "JPEGImages" / f"{name}.jpg")
        found = step(image)
        assert len(found)
        assert {p.name for p in found} <= set(names)


@pytest.mark.data("coco_cc")
def test_cocos_boxes(real_data):
    step = Boxes(file=real_data / "instances.json")
    content = json.loads((real_data / "instances.json").read_text())
    names = {c["name"] for c in content["categories"]}
    images = [read_image(p) for p in find_images([real_data / "images"])]
    found = [p for image in images for p in step(image)]
    assert len(found) == sum(not a.get("iscrowd") for a in content["annotations"])
    assert {p.name for p in found} <= names
