"""The data set `files`: images named on the command line."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from segkit import BadImageError, UsageError, palette, write_png
from segkit_plugins.dataset import files
from segkit_plugins.dataset.files import Files


def grey(path: Path, values: object) -> Path:
    write_png(path, np.array(values, np.uint8))
    return path


@pytest.fixture
def photos(tmp_path):
    """Three photos of 2x1 pixels: a.png, b.jpg and more/a.png."""
    for name in ("a.png", "b.jpg", "more/a.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.new("RGB", (2, 1), "orange").save(path)
    return tmp_path / "photos"


def test_files_folders_and_patterns_in_the_order_given(photos):
    data = Files(paths=(f"{photos}/more/*", f"{photos}/b.jpg", f"{photos}"))
    assert list(data.names) == ["a", "b", "a-2"]
    assert len(data) == 3
    image, truth = data[2]
    assert image.name == "a-2"
    assert image.size == (1, 2)
    assert truth is None
    assert not data.has_truth
    assert data.classes == {}


def test_two_images_of_one_name_are_both_kept(photos):
    PIL.Image.new("RGB", (2, 1), "blue").save(photos / "more" / "a.png")
    data = Files(paths=(f"{photos}/a.png", f"{photos}/more/a.png"))
    assert [data[i][0].pixels[0, 0].tolist() for i in range(2)] == [[255, 165, 0], [0, 0, 255]]
    assert list(data.names) == ["a", "a-2"]


def test_names_are_listed_without_reading_an_image(tmp_path):
    (tmp_path / "a.jpg").write_text("no image")
    data = Files(paths=(str(tmp_path),))
    assert list(data.names) == ["a"]


def test_one_bad_image_does_not_stop_the_others(photos):
    (photos / "aa.png").write_text("no image")
    data = Files(paths=(str(photos),))
    with pytest.raises(BadImageError, match=r"aa\.png' is not an image that can be read"):
        data[1]
    assert data[0][0].name == "a"
    assert data[2][0].name == "b"


def test_nothing_named():
    with pytest.raises(UsageError) as info:
        _ = Files().names
    assert str(info.value) == (
        "the data set 'files' has no images; name a photo, folder or pattern"
    )


def test_a_list_chooses_among_the_images_by_name_or_file(photos, tmp_path, monkeypatch):
    chosen = tmp_path / "chosen.txt"
    chosen.write_bytes(b"a-2\r\n\n" + os.fsencode(photos / "b.jpg") + b"\n")
    data = Files(paths=(f"{photos}/more/*", f"{photos}"), list=chosen)
    assert list(data.names) == ["a-2", "b"]  # under the names that they have among all
    assert [data.files_of(i)[0] for i in range(2)] == [photos / "a.png", photos / "b.jpg"]
    assert data[0][0].name == "a-2"
    monkeypatch.chdir(photos)
    chosen.write_text("more/../b.jpg\nb\n")
    assert list(Files(paths=(f"{photos}",), list=chosen).names) == ["b"]


def test_a_list_alone_names_the_images(photos, tmp_path):
    chosen = tmp_path / "chosen.txt"
    chosen.write_text(f"{photos}/more/a.png\n{photos}/a.png\n")
    data = Files(list=chosen)
    assert list(data.names) == ["a", "a-2"]
    assert data.files_of(0) == (photos / "more/a.png",)


def test_a_list_from_standard_input(photos, monkeypatch):
    files._piped.cache_clear()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"b\n")))
    recipes = [Files(paths=(str(photos),), list="-") for _ in range(2)]
    assert [list(data.names) for data in recipes] == [["b"], ["b"]]
    files._piped.cache_clear()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "could not be read: No such file or directory; check its path"),
        ("\n \n", "names no image; write one a line, by its file or its name"),
        ("bb\n", "has 'bb', which is none of the 2 images; did you mean 'b'?"),
        ("gone.jpg\n", "has 'gone.jpg', which is none of the 2 images; drop the line, or name"),
    ],
)
def test_a_list_that_says_nothing_is_refused(photos, tmp_path, content, sentence):
    chosen = tmp_path / "chosen.txt"
    if content is not None:
        chosen.write_text(content)
    with pytest.raises(UsageError) as info:
        list(Files(paths=(str(photos),), list=chosen).names)
    assert str(info.value).startswith(f"--files.list {chosen} {sentence}")


def test_no_such_file(photos):
    with pytest.raises(UsageError, match=r"there is no file '.*c\.png'; did you mean"):
        _ = Files(paths=(f"{photos}/c.png",)).names


def test_equality_and_keys_depend_on_options_alone(photos):
    one, other = Files(paths=(str(photos),)), Files(paths=(str(photos),))
    _ = one.names
    assert one == other
    assert hash(one) == hash(other)
    assert one.key() == other.key()
    assert one != Files(paths=(f"{photos}/a.png",))


# ---- masks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("on", [1, 255])
def test_masks_of_one_object(photos, tmp_path, on):
    for name in ("a", "b"):
        grey(tmp_path / "masks" / f"{name}.png", [[0, on]])
    data = Files(paths=(str(photos),), masks=tmp_path / "masks")
    assert data.has_truth
    assert data.classes == {1: "object"}
    truth = data[0][1]
    assert truth.labels.ids.tolist() == [[0, 1]]
    assert truth.labels.classes == {1: "object"}


def test_an_empty_mask_among_0_255_masks_is_no_object(photos, tmp_path):
    grey(tmp_path / "masks" / "a.png", [[0, 0]])
    grey(tmp_path / "masks" / "b.png", [[255, 255]])
    data = Files(paths=(str(photos),), masks=tmp_path / "masks")
    assert [data[i][1].labels.ids.tolist() for i in range(2)] == [[[0, 0]], [[1, 1]]]


def test_masks_of_class_ids(photos, tmp_path):
    write_png(tmp_path / "masks" / "a.png", np.array([[0, 255]], np.uint8), palette())
    write_png(tmp_path / "masks" / "b.png", np.array([[15, 255]], np.uint8), palette())
    data = Files(paths=(str(photos),), masks=tmp_path / "masks")
    assert data.classes == {}
    # the first mask alone could be one of 0 and 255: the second tells that 255 is void
    assert [data[i][1].labels.ids.tolist() for i in range(2)] == [[[0, 255]], [[15, 255]]]


def test_one_object_with_void(photos, tmp_path):
    grey(tmp_path / "masks" / "a.png", [[1, 255]])
    grey(tmp_path / "masks" / "b.png", [[0, 1]])
    data = Files(paths=(str(photos),), masks=tmp_path / "masks")
    assert data[0][1].labels.ids.tolist() == [[1, 255]]


def test_masks_beside_their_images(tmp_path):
    PIL.Image.new("RGB", (2, 1), "orange").save(tmp_path / "a.jpg")
    grey(tmp_path / "a.png", [[0, 255]])
    data = Files(paths=(f"{tmp_path}/*.jpg",), masks=tmp_path)
    assert data[0][1].labels.ids.tolist() == [[0, 1]]


def test_an_image_without_mask(photos, tmp_path):
    grey(tmp_path / "masks" / "b.png", [[0, 255]])
    data = Files(paths=(str(photos),), masks=tmp_path / "masks")
    with pytest.raises(BadImageError) as info:
        data[0]
    assert str(info.value) == (
        f"'{photos / 'a.png'}' has no mask in '{tmp_path / 'masks'}'; "
        "add a.png there or leave the image out"
    )
    assert data[1][1].labels.ids.tolist() == [[0, 1]]


def test_a_mask_of_another_size_than_its_image(photos, tmp_path):
    grey(tmp_path / "masks" / "a.png", [[0], [255]])
    data = Files(paths=(f"{photos}/a.png",), masks=tmp_path / "masks")
    with pytest.raises(BadImageError) as info:
        data[0]
    assert str(info.value) == (
        f"the mask '{tmp_path / 'masks' / 'a.png'}' is 1x2, another size than its image, "
        "which is 2x1; scale one of them"
    )


def test_a_damaged_mask_spoils_only_its_own_image(photos, tmp_path):
    grey(tmp_path / "masks" / "b.png", [[0, 255]])
    (tmp_path / "masks" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    data = Files(paths=(str(photos),), masks=tmp_path / "masks")
    assert data.classes == {1: "object"}
    assert data[1][1].labels.ids.tolist() == [[0, 1]]
    with pytest.raises(BadImageError, match=r"masks.a\.png' is not an image"):
        data[0]


def test_a_folder_of_masks_that_is_not_there_is_said_before_work_begins(photos, tmp_path):
    with pytest.raises(UsageError, match=r"there is no file '.*masks'"):
        _ = Files(paths=(str(photos),), masks=tmp_path / "masks").names
    with pytest.raises(UsageError, match="should be a folder, but are a file"):
        _ = Files(paths=(str(photos),), masks=photos / "a.png").names
    (tmp_path / "masks").mkdir()
    with pytest.raises(UsageError, match="holds no image"):
        _ = Files(paths=(str(photos),), masks=tmp_path / "masks").names


def test_a_line_that_is_not_there_is_told_with_its_list_and_number(photos, tmp_path):
    chosen = tmp_path / "list.txt"
    there = next(p for p in sorted(photos.iterdir()) if p.is_file())
    chosen.write_text(f"{there}\n\n{photos}/nope.jpg\n")
    with pytest.raises(UsageError) as info:
        _ = Files(list=chosen).names
    assert str(info.value) == (
        f"--files.list {chosen} names {photos}/nope.jpg (line 3), which is not there; drop the "
        "line or check the name"
    )


# ---- lists that are none ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a.png\nb\0.jpg\n", "holds a zero byte"),
        (b"x" * 40_000, "has a line of more than 32 KiB"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "holds a zero byte"),
    ],
)
def test_what_is_no_list_is_a_sentence(photos, tmp_path, monkeypatch, content, said):
    place = tmp_path / "list.txt"
    place.write_bytes(content)
    files._piped.cache_clear()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    for source in (place, Path("-")):
        with pytest.raises(UsageError) as info:
            _ = Files(paths=(str(photos),), list=source).names
        assert str(info.value) == (
            f"--files.list {source} {said}, so it is no list of images; write one a line, by its "
            "file or its name"
        )
    files._piped.cache_clear()


def test_a_list_without_end_is_a_sentence(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST", 1000)
    place = tmp_path / "list.txt"
    place.write_text("a\n" * 600)
    with pytest.raises(UsageError, match="has more than 0 MiB, so it is no list of images"):
        _ = Files(paths=(str(photos),), list=place).names
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="could not be read: it is a pipe, not a file"):
        _ = Files(paths=(str(photos),), list=tmp_path / "pipe").names
    with pytest.raises(UsageError, match="could not be read: it is a device, not a file"):
        _ = Files(list=Path("/dev/zero")).names


def test_many_names_are_not_looked_through_for_a_near_one(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "COMPARED", 1)
    (tmp_path / "list.txt").write_text("bb\n")
    with pytest.raises(UsageError, match="none of the 2 images; drop the line"):
        _ = Files(paths=(str(photos),), list=tmp_path / "list.txt").names
