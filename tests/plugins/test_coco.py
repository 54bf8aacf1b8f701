"""The data set `coco`: photos with polygons and run lengths, written small and real."""

from __future__ import annotations

import json
import sys

import numpy as np
import PIL.Image
import pytest

from segkit import BadImageError, MissingExtraError, UsageError
from segkit_plugins.dataset.coco import Coco

SIZE = (6, 8)
BLOCK = {"size": [6, 8], "counts": [20, 2, 4, 2, 20]}
"""Rows 2 and 3 of columns 3 and 4."""
VOID = 255

pytest.importorskip("pycocotools", reason="needs pycocotools: pip install 'segkit[coco]'")


def mask(rows: slice, columns: slice) -> np.ndarray:
    found = np.zeros(SIZE, bool)
    found[rows, columns] = True
    return found


def box(x0, y0, x1, y1):
    """The polygon around pixels, given by the coordinates of its corners."""
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def annotation(segmentation, image=1, category=1, **more):
    return {"image_id": image, "category_id": category, "segmentation": segmentation, **more}


@pytest.fixture
def make(tmp_path):
    """Write a file of annotations for two photos of 8x6 pixels; returns the data set."""

    def write(*annotations, images=None, categories=None, **options):
        photos = tmp_path / "images"
        photos.mkdir(exist_ok=True)
        given = [{"id": 2, "file_name": "b.png"}, {"id": 1, "file_name": "a.png"}]
        for one in given:
            PIL.Image.new("RGB", SIZE[::-1], "teal").save(photos / one["file_name"])
        content = {
            "info": {"year": 2014},
            "images": images or [one | {"height": 6, "width": 8} for one in given],
            "annotations": [{"id": 10 + i} | one for i, one in enumerate(annotations)],
            "categories": categories
            or [{"id": 1, "name": "person"}, {"id": 90, "name": "toothbrush", "isthing": 1}],
        }
        (tmp_path / "found.json").write_text(json.dumps(content))
        return Coco(root=tmp_path, annotations=tmp_path / "found.json", **options)

    return write


def usage(data):
    with pytest.raises(UsageError) as info:
        _ = data.names
    return str(info.value)


def bad(data, index=0):
    with pytest.raises(BadImageError) as info:
        data[index]
    return str(info.value)


# ---- what it reads ----------------------------------------------------------------------------


def test_photos_in_the_order_of_their_ids(make):
    data = make(annotation([box(1, 1, 4, 3)], category=90))
    assert list(data.names) == ["a", "b"]
    assert data.classes == {1: "person", 90: "toothbrush"}
    image, truth = data[0]
    assert (image.name, image.size) == ("a", SIZE)
    expected = mask(slice(1, 3), slice(1, 4))
    np.testing.assert_array_equal(truth.labels.ids, 90 * expected)
    np.testing.assert_array_equal(truth.instances, expected)
    assert truth.labels.classes == data.classes
    empty = data[1][1]  # no annotation is no object
    assert not empty.labels.ids.any()
    assert not empty.instances.any()


def test_several_polygons_are_one_object(make):
    truth = make(annotation([box(0, 0, 2, 2), box(5, 3, 8, 6)]))[0][1]
    expected = mask(slice(0, 2), slice(0, 2)) | mask(slice(3, 6), slice(5, 8))
    np.testing.assert_array_equal(truth.instances, expected)


def test_a_polygon_is_cut_off_at_the_border(make):
    truth = make(annotation([box(-5, 2, 3, 40)]))[0][1]
    np.testing.assert_array_equal(truth.instances, mask(slice(2, 6), slice(0, 3)))


def test_run_lengths_compressed_and_not(make):
    from pycocotools.mask import encode

    rng = np.random.default_rng(0)
    for density in (0, 0.1, 0.5, 0.9, 1):
        expected = rng.random(SIZE) < density
        packed = encode(np.asfortranarray(expected, np.uint8))
        flat = expected.ravel(order="F")
        cuts = np.flatnonzero(np.diff(flat, prepend=False))
        plain = np.diff([0, *cuts, flat.size]).tolist()
        for counts in (packed["counts"].decode(), plain):
            truth = make(annotation({"size": list(SIZE), "counts": counts}))[0][1]
            np.testing.assert_array_equal(truth.instances, expected)


def test_long_compressed_run_lengths(tmp_path):
    from pycocotools.mask import encode

    rng = np.random.default_rng(1)
    expected = np.kron(rng.random((5, 4)) < 0.5, np.ones((300, 200))).astype(bool)
    PIL.Image.new("L", expected.shape[::-1]).save(tmp_path / "a.png")
    packed = encode(np.asfortranarray(expected, np.uint8))["counts"].decode()
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [annotation({"size": list(expected.shape), "counts": packed})],
        "categories": [{"id": 1, "name": "cell"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    truth = Coco(root=tmp_path, annotations=tmp_path / "a.json")[0][1]
    np.testing.assert_array_equal(truth.instances, expected)


@pytest.mark.parametrize("turned", [False, True])
def test_the_smaller_object_lies_on_top(make, turned):
    large, small = annotation([box(0, 0, 6, 6)]), annotation([box(4, 2, 8, 4)], category=90)
    truth = make(*((small, large) if turned else (large, small)))[0][1]
    on_top = mask(slice(2, 4), slice(4, 8))
    below = mask(slice(0, 6), slice(0, 6)) & ~on_top
    np.testing.assert_array_equal(truth.labels.ids, below + 90 * on_top)
    # Instances are numbered as the file lists them.
    np.testing.assert_array_equal(truth.instances, (1 + turned) * below + (2 - turned) * on_top)


def test_a_crowd_is_void_where_no_object_lies(make):
    rows = annotation(BLOCK), annotation([box(4, 0, 8, 6)], iscrowd=1)
    block = mask(slice(2, 4), slice(3, 5))
    crowd = mask(slice(0, 6), slice(4, 8)) & ~block
    truth = make(*rows)[0][1]
    np.testing.assert_array_equal(truth.labels.ids, block + VOID * crowd)
    np.testing.assert_array_equal(truth.instances, block + VOID * crowd)
    truth = make(*rows, crowd="class")[0][1]
    np.testing.assert_array_equal(truth.labels.ids, block | crowd)
    np.testing.assert_array_equal(truth.instances, block)


def test_instance_numbers_leave_out_that_of_void(make):
    pixels = [annotation([box(i % 8, i // 8, i % 8 + 1, i // 8 + 1)]) for i in range(48)]
    truth = make(*[annotation([box(0, 0, 8, 6)])] * 250, *pixels)[0][1]
    assert set(np.unique(truth.instances).tolist()) == {*range(251, 300)} - {VOID}


@pytest.mark.parametrize("ids", [(0, 1), (255, 7)])
def test_category_ids_that_mean_something_else_here_are_numbered_anew(make, ids):
    names = [{"id": ids[0], "name": "car"}, {"id": ids[1], "name": "bus"}]
    data = make(annotation(BLOCK, category=ids[0]), categories=names)
    first, second = ("car", "bus") if ids[0] < ids[1] else ("bus", "car")
    assert data.classes == {1: first, 2: second}
    block = mask(slice(2, 4), slice(3, 5))
    own = 1 if first == "car" else 2
    np.testing.assert_array_equal(data[0][1].labels.ids, own * block)


def test_photos_directly_in_the_root(make, tmp_path):
    data = make(annotation(BLOCK))
    direct = Coco(root=tmp_path / "images", annotations=data.annotations)
    np.testing.assert_array_equal(direct[0][0].pixels, data[0][0].pixels)


def test_a_photo_of_one_pixel(tmp_path):
    PIL.Image.new("RGB", (1, 1)).save(tmp_path / "a.png")
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [annotation([box(0, 0, 1, 1)])],
        "categories": [{"id": 1, "name": "dot"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    truth = Coco(root=tmp_path, annotations=tmp_path / "a.json")[0][1]
    assert truth.instances.tolist() == [[1]]


# ---- what it refuses: one photo ---------------------------------------------------------------


NEITHER = "has no segmentation, neither polygons nor run lengths; add it or drop it"
NO_NUMBERS = "has a polygon that is no list of finite numbers; correct it"
POINTS = "has a polygon of {} numbers; give x and y of three points or more"
NO_RUNS = "has run lengths that are no numbers from 0; write them again"
SUM = "has run lengths of {} pixels in all, but its image has 48; write them again"
SIZES = (
    "has run lengths for [height, width] {}, but its image is [6, 8]; "
    "make them for the image's own size"
)
FAR = "has a polygon that reaches to -1e+09, far outside of its image of 8x6; correct it"


def runs(counts):
    return {"size": [6, 8], "counts": counts}


@pytest.mark.parametrize(
    ("segmentation", "problem"),
    [
        (None, NEITHER),
        ([], NEITHER),
        ("aaa", NEITHER),
        ([[1, 2, 3, 4]], POINTS.format(4)),
        ([[1, 2, 3, 4, 5, 6, 7]], POINTS.format(7)),
        ([[1, 2, 3, 4, 5, "6"]], NO_NUMBERS),
        ([[1, 2, 3, 4, 5, float("nan")]], NO_NUMBERS),
        ([[1, 2, 3, 4, 5, 10**400]], NO_NUMBERS),
        ([1, 2, 3, 4, 5, 6], NO_NUMBERS),
        ([[1, 2, 3, 4, 5, -1e9]], FAR),
        ({"size": [8, 6], "counts": [48]}, SIZES.format([8, 6])),
        ({"counts": [48]}, SIZES.format(None)),
        (runs([20, 2]), SUM.format(22)),
        (runs([20, 200]), SUM.format(220)),
        (runs(""), SUM.format(0)),
        (runs([50, -2]), NO_RUNS),
        (runs(["48"]), NO_RUNS),
        (runs(None), NO_RUNS),
        (runs("PPPP"), NO_RUNS),
        (runs("é 1"), NO_RUNS),
        (runs("o" * 99), NO_RUNS),
    ],
)
def test_a_bad_segmentation_fails_alone(make, tmp_path, segmentation, problem):
    data = make(annotation(BLOCK, id=4), annotation(segmentation, id=5, image=2))
    assert bad(data, 1) == (f"annotation 5 of 'b.png' in '{tmp_path / 'found.json'}' {problem}")
    assert data[0][1].instances.sum() == 4


def test_an_annotation_without_id_is_named_by_its_photo(make):
    assert bad(make(annotation(None, id=None))).startswith("an annotation of 'a.png' in '")


def test_a_photo_that_is_missing_fails_alone(make, tmp_path):
    data = make(annotation(BLOCK))
    (tmp_path / "images" / "b.png").unlink()
    assert bad(data, 1) == f"'{tmp_path / 'b.png'}' does not exist; check the name"
    assert data[0][1].instances.any()


def test_a_photo_of_another_size_fails_alone(make, tmp_path):
    data = make(annotation(BLOCK))
    PIL.Image.new("RGB", (16, 12)).save(tmp_path / "images" / "b.png")
    assert bad(data, 1) == (
        f"'{tmp_path / 'images' / 'b.png'}' is 16x12, but '{tmp_path / 'found.json'}' says 8x6; "
        "the annotations need the photo that they were made on"
    )


# ---- what it refuses: the file ----------------------------------------------------------------


def test_ids_that_come_twice(make, tmp_path):
    file = tmp_path / "found.json"
    advice = "give each its own or drop one"
    photos = [{"id": 1, "file_name": "a.png"}, {"id": 1, "file_name": "b.png"}]
    assert usage(make(images=photos)) == f"'{file}' has the image id 1 twice; {advice}"
    classes = [{"id": 3, "name": "cat"}, {"id": 3, "name": "dog"}]
    assert usage(make(categories=classes)) == f"'{file}' has the category id 3 twice; {advice}"
    classes = [{"id": 3, "name": "cat"}, {"id": 4, "name": "cat"}]
    assert usage(make(categories=classes)) == (
        f"'{file}' has the category name 'cat' twice; {advice}"
    )
    twice = [annotation(BLOCK, id=7)] * 2
    assert usage(make(*twice)) == f"'{file}' has the annotation id 7 twice; {advice}"


def test_annotations_of_what_is_not_listed(make, tmp_path):
    file = tmp_path / "found.json"
    assert usage(make(annotation(BLOCK, image=9))) == (
        f"'{file}' has an annotation (id 10) of image 9, but lists no such image; "
        "add it or drop the annotation"
    )
    assert usage(make(annotation(BLOCK, category=2))) == (
        f"'{file}' has an annotation (id 10) of category 2, but lists no such category; "
        "add it or drop the annotation"
    )


def test_a_file_that_is_no_coco_file(tmp_path):
    file = tmp_path / "a.json"
    data = Coco(root=tmp_path, annotations=file)
    assert usage(data) == (
        f"the annotations '{file}' cannot be read (No such file or directory); "
        "give a COCO JSON file as --coco.annotations"
    )
    start = f"'{file}' is no COCO JSON file with images, annotations and categories: "
    for text, problem in (
        ("{", "Invalid JSON"),
        ("[]", "Input should be an object"),
        ('{"images": [], "annotations": []}', "categories: Field required"),
        (
            '{"images": [{"id": "x"}], "annotations": [], "categories": []}',
            "images.0.id: Input should be a valid integer",
        ),
    ):
        file.write_text(text)
        sentence = usage(Coco(root=tmp_path, annotations=file))
        assert sentence.startswith(start + problem)
        assert sentence.endswith("; correct it or give another")
        assert "\n" not in sentence
    file.write_text('{"images": [], "annotations": [], "categories": []}')
    assert usage(Coco(root=tmp_path, annotations=file)) == (
        f"'{file}' lists no image; give another file"
    )


@pytest.mark.parametrize("name", ["../secret.png", "a/../../secret.png", "{out}/secret.png"])
def test_photos_stay_inside_their_root(make, tmp_path, name):
    out = tmp_path.parent / f"{tmp_path.name}-out"
    name = name.format(out=out).replace("../secret", f"../{out.name}/secret")
    out.mkdir()
    (tmp_path / "a").mkdir()
    PIL.Image.new("RGB", (8, 6), "red").save(out / "secret.png")
    photos = [{"id": 1, "file_name": name}]
    sentence = f"names the photo {name!r}, which lies outside of '{tmp_path}'; correct it there"
    assert sentence in usage(make(images=photos))
    data = make(images=photos, outside=True)
    assert data[0][0].pixels[0, 0].tolist() == [255, 0, 0]
    within = make(images=[{"id": 1, "file_name": str(tmp_path / "images/../images/a.png")}])
    assert within.names == ("a",)
    dotted = make(images=[{"id": 1, "file_name": "a/../images/a.png"}])
    assert dotted[0][0].size == SIZE


def test_a_folder_that_is_not_there(make, tmp_path):
    data = Coco(root=tmp_path / "none", annotations=make().annotations)
    assert usage(data) == (
        f"there is no folder '{tmp_path / 'none'}'; give the folder of the photos as --coco.root"
    )


def test_without_pycocotools_the_install_line_is_said(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    monkeypatch.setitem(sys.modules, "pycocotools.mask", None)
    with pytest.raises(MissingExtraError) as info:
        make(annotation(BLOCK)).open("cpu")
    assert str(info.value) == (
        "--dataset coco needs pycocotools, which is not installed; run: pip install 'segkit[coco]'"
    )


# ---- against pycocotools ----------------------------------------------------------------------


@pytest.mark.data("coco_cc")
def test_every_real_object_equals_pycocotools(real_data, capsys):
    from pycocotools.coco import COCO

    peer = COCO(str(real_data / "instances.json"))
    data = Coco(root=real_data, annotations=real_data / "instances.json")
    assert len(data) == len(peer.imgs)
    assert data.classes == {c["id"]: c["name"] for c in peer.loadCats(peer.getCatIds())}
    objects = crowds = 0
    for index, photo in enumerate(sorted(peer.imgs)):
        image, truth = data[index]
        assert image.size == (peer.imgs[photo]["height"], peer.imgs[photo]["width"])
        taken = np.zeros(image.size, bool)
        rows = peer.imgToAnns[photo]
        masks = {row["id"]: peer.annToMask(row).astype(bool) for row in rows}
        single = [row for row in rows if not row["iscrowd"]]
        numbered = [(row, masks[row["id"]], i) for i, row in enumerate(single, 1)]
        # From the topmost down, each shows what is not taken yet.
        numbered.sort(key=lambda one: (one[1].sum(), -one[2]))
        for row, found, number in numbered:
            shown = found & ~taken
            np.testing.assert_array_equal(truth.instances == number, shown)
            assert (truth.labels.ids[shown] == row["category_id"]).all()
            taken |= found
            objects += 1
        for row in rows:
            if row["iscrowd"]:
                assert (truth.labels.ids[masks[row["id"]] & ~taken] == VOID).all()
                crowds += 1
    assert (objects + crowds, crowds) == (len(peer.anns), len(peer.getAnnIds(iscrowd=1)))
    assert objects > crowds > 0
    assert "creating index" in capsys.readouterr().out  # the peer's own words, not ours
