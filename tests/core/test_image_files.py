"""Image files found, named and written."""

from __future__ import annotations

import errno
import os
import unicodedata
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from image_toys import RNG, sentence

from segkit import (
    BadValueError,
    UsageError,
    find_images,
    palette,
    read_mask,
    unique_names,
    write_png,
)
from segkit.values.images import SUFFIXES

# ---- finding ----------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path):
    for name in ("b.jpg", "a.PNG", "c.txt", ".hidden.png", "._b.jpg", "sub/d.png", "sub/in/e.tif"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"?")
    (tmp_path / "folder.png").mkdir()
    return tmp_path


def found(tree: Path, *sources: str) -> list[str]:
    return [p.relative_to(tree).as_posix() for p in find_images([tree / s for s in sources])]


def test_a_folder_gives_its_images_by_name(tree):
    assert found(tree, "") == ["a.PNG", "b.jpg"]


def test_a_named_file_is_kept_whatever_its_suffix(tree):
    assert found(tree, "c.txt", ".hidden.png") == ["c.txt", ".hidden.png"]


def test_patterns(tree):
    assert found(tree, "*") == ["a.PNG", "b.jpg"]
    assert found(tree, "**/*.png") == ["sub/d.png"]
    assert found(tree, "**") == ["a.PNG", "b.jpg", "sub/d.png", "sub/in/e.tif"]
    assert found(tree, "[b]*") == ["b.jpg"]


def test_a_file_whose_name_looks_like_a_pattern(tree):
    (tree / "x[1].png").write_bytes(b"?")
    assert found(tree, "x[1].png") == ["x[1].png"]


def test_order_is_kept_and_a_file_named_twice_comes_once(tree):
    assert found(tree, "sub", "b.jpg", "", "sub/../b.jpg") == ["sub/d.png", "b.jpg", "a.PNG"]


def test_no_sources():
    assert find_images([]) == ()


def test_the_home_folder(tree, monkeypatch):
    monkeypatch.setenv("HOME", str(tree))
    monkeypatch.setenv("USERPROFILE", str(tree))
    assert find_images(["~/b.jpg"]) == (tree / "b.jpg",)


def test_no_such_source(tree):
    with pytest.raises(UsageError) as info:
        find_images([tree / "bb.jpg"])
    assert sentence(info) == (
        f"there is no file '{tree / 'bb.jpg'}'; did you mean '{tree / 'b.jpg'}'?"
    )
    with pytest.raises(UsageError, match=r"there is no file '.*zzz'; check the name"):
        find_images([tree / "zzz"])
    with pytest.raises(UsageError, match=r"its folder '.*away' does not exist either"):
        find_images([tree / "away" / "b.jpg"])


def test_a_folder_without_images(tree):
    (tree / "empty").mkdir()
    with pytest.raises(UsageError) as info:
        find_images([tree / "empty"])
    assert sentence(info) == (
        f"the folder '{tree / 'empty'}' holds no image; "
        "images are known by suffixes such as .jpg, .png, .tif and .webp"
    )
    (tree / "outer").mkdir()
    (tree / "sub").rename(tree / "outer" / "sub")
    with pytest.raises(UsageError, match=r"holds no image; for those in its folders name '.*\*\*'"):
        find_images([tree / "outer"])


def test_a_pattern_without_images(tree):
    with pytest.raises(UsageError, match=r"the pattern '.*\*\.txt' matches no image; images are"):
        find_images([tree / "*.txt"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe(tree):
    os.mkfifo(tree / "pipe")
    with pytest.raises(UsageError, match="is neither a file nor a folder"):
        find_images([tree / "pipe"])


def test_a_name_that_is_too_long(tree):
    with pytest.raises(UsageError, match="a" * 300) as info:
        find_images([tree / ("a" * 300)])
    sentence(info)


def test_every_suffix_is_one_that_pillow_knows():
    known = PIL.Image.registered_extensions()
    unknown = {s for s in SUFFIXES if s not in known}
    assert unknown <= {".avif"}  # Pillow reads it from 11.3 on


# ---- names ------------------------------------------------------------------------------------


def test_a_second_name_gets_a_number():
    assert unique_names(["x/a.jpg", "y/a.png", "z/a.tif", "b.c.jpg"]) == ("a", "a-2", "a-3", "b.c")


def test_a_number_never_takes_the_stem_of_another_file():
    assert unique_names(["a.jpg", "a.png", "a-2.jpg"]) == ("a", "a-3", "a-2")


def test_names_differ_without_regard_to_case_and_composition():
    composed, apart = unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")
    assert unique_names(["A.jpg", "a.jpg"]) == ("A", "a-2")
    assert unique_names([composed, apart]) == (composed, f"{apart}-2")


stems = st.lists(
    st.one_of(
        st.sampled_from(["a", "A", "a-2", "a-3", "A-2", "a-2-2", "ß", "ss", "ſ", "i", "İ"]),
        st.text(st.characters(blacklist_characters="/\\\0.", codec="utf-8"), min_size=1),
    ),
    max_size=12,
)


@given(stems)
@example(["a", "A", "a", "A-2", "a-2"])
def test_names_are_unique_and_begin_with_the_stem(stems):
    names = unique_names([f"{i}/{stem}.jpg" for i, stem in enumerate(stems)])
    folded = {unicodedata.normalize("NFC", name.casefold()) for name in names}
    assert len(folded) == len(stems)
    for i, (name, stem) in enumerate(zip(names, stems, strict=True)):
        assert name == stem or name.startswith(f"{stem}-")
        if stem not in stems[:i] and stems.count(stem) == len(stems):
            assert name == stem


@given(stems)
def test_the_first_file_of_a_stem_keeps_it(stems):
    names = unique_names([f"{stem}.jpg" for stem in stems])
    seen = set()
    for stem, name in zip(stems, names, strict=True):
        key = unicodedata.normalize("NFC", unicodedata.normalize("NFC", stem).casefold())
        assert (name == stem) == (key not in seen)
        seen.add(key)


# ---- writing ----------------------------------------------------------------------------------


def test_palette_is_pascal_voc():
    colours = palette()
    assert colours.shape == (256, 3)
    assert colours.dtype == np.uint8
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 8: (64, 0, 0), 15: (192, 128, 128)}
    known |= {20: (0, 64, 128), 255: (224, 224, 192)}  # tv monitor; void's cream
    assert {i: tuple(colours[i].tolist()) for i in known} == known
    assert len(np.unique(colours, axis=0)) == 256


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (5, 7, 3)])
def test_png_is_read_back_as_it_was(tmp_path, shape):
    array = RNG.integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path / "new" / "folder" / "a.png"
    write_png(path, array)
    with PIL.Image.open(path) as picture:
        assert picture.format == "PNG"
        assert np.array_equal(np.asarray(picture), array)
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]


def test_palette_png(tmp_path):
    ids = np.array([[0, 1], [20, 255]], np.uint8)
    write_png(tmp_path / "a.png", ids, palette())
    with PIL.Image.open(tmp_path / "a.png") as picture:
        assert picture.mode == "P"
        assert np.array_equal(np.asarray(picture), ids)
        assert np.array_equal(np.asarray(picture.convert("RGB")), palette()[ids])


def test_a_read_only_view_that_is_not_contiguous(tmp_path):
    array = RNG.integers(0, 256, (6, 8), dtype=np.uint8)[::2, ::-2]
    array.flags.writeable = False
    write_png(tmp_path / "a.png", array)
    assert np.array_equal(read_mask(tmp_path / "a.png"), array)


def test_an_older_file_is_replaced(tmp_path):
    for value in (1, 2):
        write_png(tmp_path / "a.png", np.full((2, 2), value, np.uint8))
    assert (read_mask(tmp_path / "a.png") == 2).all()


@pytest.mark.skipif(os.name == "nt", reason="Unix permissions")
def test_others_may_read_the_file_as_any_other(tmp_path):
    (tmp_path / "plain").touch()
    write_png(tmp_path / "a.png", np.zeros((2, 2), np.uint8))
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_full_disk_leaves_the_old_file_and_no_part(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    write_png(path, np.full((2, 2), 1, np.uint8))
    real = PIL.Image.Image.save

    def half(self: PIL.Image.Image, target: Path, *args: object) -> None:
        real(self, target, *args)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(PIL.Image.Image, "save", half)
    with pytest.raises(OSError, match="No space left") as info:
        write_png(path, np.full((2, 2), 2, np.uint8))
    assert info.value.errno == errno.ENOSPC
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
    assert (read_mask(path) == 1).all()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_an_interrupt_leaves_no_part(tmp_path, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_png(tmp_path / "a.png", np.zeros((2, 2), np.uint8))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.zeros((2, 2), np.int32), r"int32 of shape \(2, 2\)"),
        (np.zeros((2, 2, 4), np.uint8), r"uint8 of shape \(2, 2, 4\)"),
        (np.zeros(4, np.uint8), r"uint8 of shape \(4,\)"),
        (np.zeros((0, 3), np.uint8), r"should have pixels, but the array has shape \(0, 3\)"),
    ],
)
def test_arrays_that_are_no_picture(tmp_path, array, found):
    with pytest.raises(BadValueError, match=found):
        write_png(tmp_path / "a.png", array)
    assert list(tmp_path.iterdir()) == []


def test_a_palette_for_rgb(tmp_path):
    with pytest.raises(BadValueError, match="up to 256 RGB colours"):
        write_png(tmp_path / "a.png", np.zeros((2, 2, 3), np.uint8), palette())
