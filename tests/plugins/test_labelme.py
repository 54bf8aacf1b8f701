"""The data set `labelme`: files as labelme saves them, and labelme's own reading of them."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import PIL.Image
import pytest

from segkit import BadImageError, UsageError
from segkit_plugins.dataset.labelme import Labelme

SIZE = (20, 40)


def mask(rows, columns):
    found = np.zeros(SIZE, bool)
    found[rows, columns] = True
    return found


def shape(points, label="cat", kind="polygon", **more):
    return {
        "label": label,
        "points": points,
        "group_id": None,
        "description": "",
        "shape_type": kind,
        "flags": {},
        "mask": None,
        **more,
    }


def square(x0, y0, x1, y1, **more):
    return shape([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], **more)


def png(found):
    content = io.BytesIO()
    PIL.Image.fromarray(found.astype(np.uint8) * 255).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


@pytest.fixture
def make(tmp_path):
    """Write one file with its photo; returns the data set."""

    def write(*shapes, photo="a.png", size=SIZE, **options):
        root = tmp_path / "labels"
        root.mkdir(exist_ok=True)
        PIL.Image.new("RGB", SIZE[::-1], "teal").save(root / "a.png")
        content = {
            "version": "6.3.1",
            "flags": {},
            "shapes": [*shapes],
            "imagePath": photo,
            "imageData": None,
            "imageHeight": size[0],
            "imageWidth": size[1],
        }
        (root / "a.json").write_text(json.dumps(content))
        return Labelme(root=root, **options)

    return write


@pytest.fixture(scope="module")
def labelme():
    """labelme, which needs no display for its files, but the libraries of one."""
    try:
        import labelme
    except ImportError as error:
        pytest.skip(f"labelme, of the extra peers, cannot be imported: {error}")
    return labelme


# labelme leaves photos open that it has read.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def bad(data):
    with pytest.raises(BadImageError) as info:
        data[0]
    return str(info.value)


def read(data):
    _, truth = data[0]
    return truth


# ---- what it reads ----------------------------------------------------------------------------


def test_polygons_are_filled_with_their_border_and_later_ones_lie_on_top(make):
    data = make(square(2, 2, 19, 11), square(10, 8, 29, 15, label="dog"))
    low, high = mask(slice(2, 12), slice(2, 20)), mask(slice(8, 16), slice(10, 30))
    assert list(data.names) == ["a"]
    assert data.classes == {1: "cat", 2: "dog"}
    assert np.array_equal(read(data).labels.ids, np.where(high, 2, low))
    assert np.array_equal(read(data).instances, np.where(high, 2, low))


def test_parts_of_a_group_are_one_instance(make):
    data = make(
        square(1, 1, 3, 3, group_id=4),
        square(9, 9, 12, 12),
        square(20, 1, 23, 3, group_id=4),
        square(30, 1, 33, 3, label="dog", group_id=4),
    )
    found = read(data).instances
    assert [found[2, 2], found[10, 10], found[2, 21], found[2, 31]] == [1, 2, 1, 3]


def test_other_shapes_with_an_area(make):
    boxed = make(shape([[19, 11], [2, 2]], kind="rectangle"))
    assert np.array_equal(read(boxed).labels.ids, mask(slice(2, 12), slice(2, 20)))
    circle = read(make(shape([[20, 10], [26, 10]], kind="circle"))).labels.ids
    assert circle.sum() == pytest.approx(np.pi * 36, rel=0.05)
    cut = np.eye(5, 7, dtype=bool)
    masked = read(make(shape([[3, 2], [9, 6]], kind="mask", mask=png(cut)))).labels.ids
    assert np.array_equal(masked[2:7, 3:10], cut)
    assert masked.sum() == 5


def test_labelmes_own_names_for_nothing(make):
    data = make(
        square(0, 0, 9, 9),
        square(0, 0, 4, 4, label="_background_"),
        square(6, 6, 8, 8, label="__ignore__"),
    )
    assert data.classes == {1: "cat"}
    ids = read(data).labels.ids
    assert [ids[2, 2], ids[5, 5], ids[7, 7]] == [0, 1, 255]


def test_labelme_makes_the_same_of_it(make, labelme):
    rng = np.random.default_rng(3)
    shapes = [
        shape((rng.random((7, 2)) * SIZE[::-1]).tolist(), label=name, group_id=group)
        for name, group in (("cat", None), ("dog", 1), ("cat", 1), ("dog", 1), ("cat", None))
    ]
    shapes.append(shape([[3, 2], [9, 6]], kind="mask", mask=png(np.ones((5, 7), bool))))
    shapes.append(shape([[30, 2], [22, 6]], kind="rectangle", label="dog"))
    data = make(*shapes)
    file = labelme.LabelFile(str(data.root / "a.json"))
    classes, objects = labelme.utils.shapes_to_label(SIZE, file.shapes, {"cat": 1, "dog": 2})
    truth = read(data)
    assert np.array_equal(truth.labels.ids, classes)
    assert np.array_equal(truth.instances, objects)


def test_photos_elsewhere(make, tmp_path):
    (tmp_path / "photos").mkdir()
    PIL.Image.new("RGB", SIZE[::-1]).save(tmp_path / "photos/b.png")
    data = make(square(1, 1, 3, 3), photo="..\\photos\\b.png")
    assert "which is outside of" in bad(data)
    assert "as --labelme.photos" in bad(data)
    assert data.files_of(0) == (tmp_path / "labels/a.json",)
    data = make(square(1, 1, 3, 3), photo="..\\photos\\b.png", photos=tmp_path / "photos")
    assert read(data).labels.ids.sum() == 9
    assert data.files_of(0)[1] == tmp_path / "photos/b.png"
    assert "outside of" in bad(make(photo="/etc/hosts"))


def test_named_classes_have_their_ids(make):
    assert read(make(square(1, 1, 2, 2), class_names=("dog", "cat"))).labels.ids.max() == 2
    assert "has the class 'cat', which is not among" in bad(
        make(square(1, 1, 2, 2), class_names=("dog",))
    )


# ---- bad input --------------------------------------------------------------------------------


def test_a_folder_that_is_none_is_told(tmp_path):
    with pytest.raises(UsageError, match="cannot be looked into"):
        _ = Labelme(root=tmp_path / "no").names
    with pytest.raises(UsageError, match="holds no JSON file of labelme"):
        _ = Labelme(root=tmp_path).names


@pytest.mark.parametrize("text", ["", "[]", '{"shapes": 3}', '{"shapes": []}', "[" * 9999])
def test_a_file_of_something_else_fails_alone(make, text):
    data = make(square(1, 1, 2, 2))
    (data.root / "b.json").write_text(text)
    assert list(data.names) == ["a", "b"]
    assert data.classes == {1: "cat"}
    with pytest.raises(BadImageError, match="is no file of labelme with shapes and imagePath"):
        data[1]
    assert data[0]


def test_a_photo_of_another_size_is_told(make):
    assert "is 40x20, but" in bad(make(size=(21, 40)))
    assert "gone.png' does not exist" in bad(make(photo="gone.png"))


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (shape([[1, 1], [2, 2]]), "the 1., 'cat', that is a polygon of 2 points"),
        (shape([[1, 1], [2, 2]], kind="line"), "is of type 'line', which has no area"),
        (shape([[1, 1]], kind="circle"), "is of type 'circle' with 1 points; it should have two"),
        (shape([[1, 1], [9e9, 2], [3, 3]]), "reaches to 9e+09, far outside of its image"),
        (shape([[1, 1], [2, 2]], kind="mask", mask="no!"), "has a mask that is no picture"),
        (shape([[1, 1], [2, 2]], kind="mask", mask=png(np.ones((3, 3)))), "does not fit between"),
        (
            shape([[38, 1], [40, 3]], kind="mask", mask=png(np.ones((3, 3)))),
            "does not fit between",
        ),
    ],
)
def test_a_shape_that_is_none_is_told(make, made, sentence):
    assert sentence in bad(make(made))
