"""The segmenter class-maps: files made elsewhere."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest

from segkit import BadImageError, Image, UsageError, palette, write_png
from segkit_plugins.segmenter.class_maps import ClassMaps


def image(width=4, name="a"):
    return Image(np.zeros((1, width, 3), np.uint8), name)


def given(folder, classes=None, width=4, name="a", **options):
    """The row of ids of an image's class map, and their names."""
    step = ClassMaps(folder=folder, **options)
    step.open("cpu")
    labels = step(image=image(width, name), classes=classes)
    return labels.ids[0].tolist(), labels.classes


def save(path, ids):
    if path.suffix == ".npy":
        np.save(path, np.array([ids]))
    else:
        write_png(path, np.array([ids], np.uint8), palette() if "palette" in path.stem else None)


@pytest.mark.parametrize("file", ["a.png", "a-palette.png", "a.npy"])
def test_ids_get_the_data_sets_names(tmp_path, file):
    save(tmp_path / file, [0, 2, 1, 255])
    name = file.split(".")[0]
    assert given(tmp_path, {1: "cat", 2: "dog"}, name=name) == (
        [0, 2, 1, 255],
        {1: "cat", 2: "dog"},
    )
    assert given(tmp_path, name=name) == ([0, 2, 1, 255], {})


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.uint64, np.int64])
def test_arrays_of_whole_numbers(tmp_path, dtype):
    np.save(tmp_path / "a.npy", np.array([[0, 1, 1, 0]], dtype))
    assert given(tmp_path)[0] == [0, 1, 1, 0]


def test_names_are_matched_with_the_data_sets(tmp_path):
    save(tmp_path / "a.png", [1, 2, 3, 255])
    assert given(tmp_path, {1: "dog", 7: "cat"}, names=("cat", "elk", "dog")) == (
        [7, 8, 1, 255],
        {1: "dog", 7: "cat", 8: "elk"},
    )
    assert given(tmp_path, names=("cat", "elk", "dog"))[1] == {1: "cat", 2: "elk", 3: "dog"}


def test_names_from_a_file_and_ids_from_0(tmp_path):
    (tmp_path / "names.txt").write_text("sky\nbackground\ncat\n")
    (tmp_path / "maps").mkdir()
    save(tmp_path / "maps" / "a.npy", [0, 1, 2, 255])
    names = (str(tmp_path / "names.txt"),)
    assert given(tmp_path / "maps", {5: "cat"}, names=names, first=0) == (
        [6, 0, 5, 255],
        {5: "cat", 6: "sky"},
    )


def test_a_table_renames_and_drops(tmp_path):
    save(tmp_path / "a.png", [1, 2, 3, 0])
    voc = {5: "bottle", 15: "person", 20: "tvmonitor"}
    names = ("wall", "person, individual", "crt screen")
    assert given(tmp_path, voc, names=names, table="ade20k-voc") == ([0, 15, 20, 0], voc)
    with pytest.raises(UsageError, match="table renames the names of the ids; give names too"):
        ClassMaps(folder=tmp_path, table="ade20k-voc")
    with pytest.raises(UsageError, match="there is no name table 'ade'"):
        ClassMaps(folder=tmp_path, table="ade", names=names).open("cpu")
    table = tmp_path / "t.csv"
    for text, sentence in (
        ("cat,dog", "knows none of the 3 classes of --class-maps.names, such as '"),
        ("wall,wall\npersn,person", ": --class-maps.names has no class 'persn'; did you mean"),
    ):
        table.write_text(text)
        with pytest.raises(UsageError) as error:
            ClassMaps(folder=tmp_path, table=str(table), names=names).open("cpu")
        assert str(error.value).startswith(f"--class-maps.table {table}")
        assert sentence in str(error.value)


def test_the_image_file_is_read_where_both_are_there(tmp_path):
    save(tmp_path / "a.npy", [1, 1, 1, 1])
    save(tmp_path / "a.png", [2, 2, 2, 2])
    PIL.Image.new("L", (4, 1), 3).save(tmp_path / "a.bmp")
    assert given(tmp_path)[0] == [2, 2, 2, 2]


def test_more_than_254_names_leave_void_alone(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[254, 255, 256, 257]]))
    ids, names = given(tmp_path, names=tuple(f"n{i}" for i in range(1, 257)))
    assert ids == [254, 255, 256, 257]
    assert (names[254], names[256], names[257]) == ("n254", "n255", "n256")


def sentence(folder, kind=BadImageError, **options):
    with pytest.raises(kind) as info:
        given(folder, **options)
    return str(info.value)


@pytest.mark.parametrize("file", ["a.png", "a.npy"])
def test_a_class_map_of_another_size(tmp_path, file):
    save(tmp_path / file, [0, 1, 1])
    assert sentence(tmp_path) == (
        f"the class map '{tmp_path / file}' is 3x1, another size than its image, which is 4x1; "
        "scale one of them (class maps by the nearest pixel)"
    )


def test_an_image_without_a_class_map(tmp_path):
    save(tmp_path / "b.png", [0])
    assert sentence(tmp_path) == (
        f"'a' has no class map in '{tmp_path}'; add a.png or a.npy there or leave the image out"
    )


def test_an_id_without_a_name(tmp_path):
    save(tmp_path / "a.png", [0, 1, 47, 255])
    where = f"the class map '{tmp_path / 'a.png'}' holds the class id 47, but"
    advice = "give --class-maps.names for all of its ids"
    assert sentence(tmp_path, classes={1: "cat", 20: "dog"}) == (
        f"{where} the data set has names for 1 to 20; {advice}"
    )
    assert sentence(tmp_path, names=("cat",)) == f"{where} names are given for 1 to 1; {advice}"


@pytest.mark.parametrize(
    ("array", "what"),
    [
        (np.zeros((1, 4), np.float32), "float32 of shape (1, 4), some of them out of range"),
        (np.array([[0, -1, 0, 0]]), "int64 of shape (1, 4), some of them out of range"),
        (np.array([[0, 2**40, 0, 0]]), "int64 of shape (1, 4), some of them out of range"),
        (np.zeros((1, 4, 3), np.uint8), "uint8 of shape (1, 4, 3)"),
    ],
)
def test_arrays_that_are_no_class_map(tmp_path, array, what):
    np.save(tmp_path / "a.npy", array)
    assert sentence(tmp_path) == (
        f"the class map '{tmp_path / 'a.npy'}' should hold class ids from 0 as whole numbers of "
        f"shape (H, W), but holds {what}; save its ids"
    )


def test_files_that_cannot_be_read(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"ids": 1}], object), allow_pickle=True)
    assert "a.npy' cannot be read (Object arrays cannot be loaded" in sentence(tmp_path)
    (tmp_path / "a.npy").write_bytes(b"")
    assert "a.npy' cannot be read (No data left in file); save it with" in sentence(tmp_path)
    with (tmp_path / "a.npy").open("wb") as file:
        np.savez(file, ids=np.zeros((1, 4), int))
    assert "a.npy' is an archive; save it with numpy.save" in sentence(tmp_path)
    (tmp_path / "a.png").write_bytes(b"png")
    assert "a.png' is not an image that can be read" in sentence(tmp_path)


def test_folders_that_cannot_be_used(tmp_path):
    assert "there is no file" in sentence(tmp_path / "none", UsageError)
    assert "holds no image" in sentence(tmp_path, UsageError)
    (tmp_path / "file").write_text("")
    assert sentence(tmp_path / "file", UsageError) == (
        f"the class maps '{tmp_path / 'file'}' should be a folder, but are a file"
    )


def test_one_pixel(tmp_path):
    save(tmp_path / "a.png", [3])
    assert given(tmp_path, {3: "cat"}, width=1) == ([3], {3: "cat"})
