"""Image files: every kind that works, every kind that does not, and its sentence."""

from __future__ import annotations

import errno
import os
import struct
import unicodedata
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from segkit import (
    BadImageError,
    BadValueError,
    UsageError,
    find_images,
    palette,
    read_image,
    read_mask,
    unique_names,
    write_png,
)
from segkit.values.images import SUFFIXES

RNG = np.random.default_rng(0)


def sentence(info: pytest.ExceptionInfo[Exception]) -> str:
    """The error's text, after checking that it is one line."""
    text = str(info.value)
    assert "\n" not in text
    return text


def save(path: Path, array: np.ndarray | PIL.Image.Image, **options: object) -> Path:
    picture = array if isinstance(array, PIL.Image.Image) else PIL.Image.fromarray(array)
    picture.save(path, **options)
    return path


def photo(height: int = 40, width: int = 60) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 4 % 256, y * 5 % 256, (x + y) * 2 % 256], axis=-1).astype(np.uint8)


def png(width: int, height: int, data: bytes = b"", depth: int = 8, colour: int = 2) -> bytes:
    """A PNG file made by hand, so that its header can say anything."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(data))
    return b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b"")


# ---- reading images: what works ---------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".ppm"])
def test_lossless_files_are_read_as_they_are(tmp_path, suffix):
    image = read_image(save(tmp_path / f"a{suffix}", photo()))
    assert image.name == "a"
    assert image.pixels.dtype == np.uint8
    assert np.array_equal(image.pixels, photo())


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_lossy_files_are_read(tmp_path, suffix):
    smooth = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    image = read_image(save(tmp_path / f"a{suffix}", smooth, quality=95))
    assert np.abs(image.pixels.astype(int) - smooth).max() <= 6


def test_a_name_may_be_given(tmp_path):
    assert read_image(save(tmp_path / "a.png", photo()), name="b-2").name == "b-2"


def test_one_pixel(tmp_path):
    image = read_image(save(tmp_path / "a.png", np.full((1, 1, 3), 7, np.uint8)))
    assert image.pixels.tolist() == [[[7, 7, 7]]]


def test_8_bit_grey(tmp_path):
    grey = np.array([[0, 1, 254, 255]], np.uint8)
    image = read_image(save(tmp_path / "a.png", grey))
    assert image.pixels.tolist() == [[[v] * 3 for v in (0, 1, 254, 255)]]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_grey_uses_the_full_range(tmp_path, suffix):
    grey = np.array([[0, 128, 129, 257, 40000, 65535]], np.uint16)
    image = read_image(save(tmp_path / f"a{suffix}", grey))
    assert image.pixels[0, :, 0].tolist() == [0, 0, 1, 1, 156, 255]
    assert np.ptp(image.pixels, axis=2).max() == 0


def test_16_bit_big_endian_tiff(tmp_path):
    picture = PIL.Image.frombytes("I;16B", (2, 1), bytes([0xFF, 0xFF, 0x01, 0x01]))
    image = read_image(save(tmp_path / "a.tif", picture))
    assert image.pixels[0, :, 0].tolist() == [255, 1]


def test_16_bit_pgm(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5 2 1 65535\n\xff\xff\x01\x01")
    assert read_image(tmp_path / "a.pgm").pixels[0, :, 0].tolist() == [255, 1]


def test_16_bit_rgb(tmp_path):
    row = struct.pack(">B6H", 0, 65535, 0, 257, 512, 40000, 0)
    (tmp_path / "a.png").write_bytes(png(2, 1, row, depth=16))
    assert read_image(tmp_path / "a.png").pixels.tolist() == [[[255, 0, 1], [2, 156, 0]]]


def test_float_tiff_in_0_1_is_a_share_of_white(tmp_path):
    image = read_image(save(tmp_path / "a.tif", np.array([[0, 0.5, 1]], np.float32)))
    assert image.pixels[0, :, 0].tolist() == [0, 128, 255]


def test_float_tiff_in_0_255_is_kept(tmp_path):
    image = read_image(save(tmp_path / "a.tif", np.array([[0, 2, 100.6]], np.float32)))
    assert image.pixels[0, :, 0].tolist() == [0, 2, 101]


def test_float_tiff_of_another_range_is_stretched_and_nan_is_black(tmp_path):
    values = np.array([[-1000, 0, 1000, np.nan, np.inf, -np.inf]], np.float32)
    image = read_image(save(tmp_path / "a.tif", values))
    assert image.pixels[0, :, 0].tolist() == [0, 128, 255, 0, 255, 0]


def test_a_constant_float_tiff_does_not_divide_by_zero(tmp_path):
    image = read_image(save(tmp_path / "a.tif", np.full((2, 2), 5000, np.float32)))
    assert (image.pixels == 255).all()


def test_32_bit_integer_tiff(tmp_path):
    image = read_image(save(tmp_path / "a.tif", np.array([[0, 100000, 200000]], np.int32)))
    assert image.pixels[0, :, 0].tolist() == [0, 128, 255]


def test_one_bit(tmp_path):
    image = read_image(save(tmp_path / "a.png", np.array([[True, False]])))
    assert image.pixels[0, :, 0].tolist() == [255, 0]


def test_cmyk(tmp_path):
    cmyk = PIL.Image.new("CMYK", (4, 4), (0, 255, 255, 0))
    image = read_image(save(tmp_path / "a.tif", cmyk))
    assert image.pixels[0, 0].tolist() == [255, 0, 0]
    image = read_image(save(tmp_path / "a.jpg", cmyk, quality=95))
    assert np.abs(image.pixels[0, 0].astype(int) - (255, 0, 0)).max() <= 3


def test_ycbcr_tiff(tmp_path):
    picture = PIL.Image.new("RGB", (16, 16), (10, 200, 30)).convert("YCbCr")
    image = read_image(save(tmp_path / "a.tif", picture))
    assert np.abs(image.pixels[0, 0].astype(int) - (10, 200, 30)).max() <= 3


def test_palette(tmp_path):
    picture = PIL.Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image = read_image(save(tmp_path / "a.png", picture))
    assert image.pixels.tolist() == [[[10, 20, 30], [40, 50, 60], [70, 80, 90]]]


def test_a_transparent_palette_entry_is_white(tmp_path):
    picture = PIL.Image.fromarray(np.array([[0, 1]], np.uint8))
    picture.putpalette([10, 20, 30, 40, 50, 60])
    image = read_image(save(tmp_path / "a.png", picture, transparency=0))
    assert image.pixels.tolist() == [[[255, 255, 255], [40, 50, 60]]]


def test_rgba_is_laid_over_white(tmp_path):
    rgba = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 128]]], np.uint8)
    image = read_image(save(tmp_path / "a.png", rgba))
    assert image.pixels.tolist() == [[[255, 0, 0], [255, 255, 255], [127, 127, 127]]]


def test_grey_with_alpha_is_laid_over_white(tmp_path):
    picture = PIL.Image.merge("LA", [PIL.Image.new("L", (2, 1), v) for v in (0, 51)])
    assert (read_image(save(tmp_path / "a.png", picture)).pixels == 204).all()


def test_a_transparent_colour_of_an_rgb_file_is_white(tmp_path):
    rgb = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
    image = read_image(save(tmp_path / "a.png", rgb, transparency=(1, 2, 3)))
    assert image.pixels.tolist() == [[[255, 255, 255], [4, 5, 6]]]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, suffix, orientation):
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :8] = 255  # a white corner, top left, once the picture is the right way up
    transposed = orientation >= 5
    stored = upright.swapaxes(0, 1) if transposed else upright
    # EXIF 2.3, table 6: where the visual top left lies in the stored rows and columns
    flips = {1: "", 2: "x", 3: "xy", 4: "y", 5: "", 6: "y", 7: "xy", 8: "x"}[orientation]
    stored = stored[:: -1 if "y" in flips else 1, :: -1 if "x" in flips else 1]
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / f"a{suffix}", np.ascontiguousarray(stored), exif=exif)
    pixels = read_image(path).pixels
    assert pixels.shape == upright.shape
    assert np.abs(pixels.astype(int) - upright).max() <= 12


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [PIL.Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    path = tmp_path / "a.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert read_image(path).pixels[0, 0].tolist() == [255, 0, 0]


def test_a_picture_that_only_makes_pillow_warn_is_read_without_a_warning(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", photo())
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 40 * 60 - 1)
    assert read_image(path).size == (40, 60)  # pytest turns a warning into an error


def test_damaged_exif_is_left_aside(tmp_path):
    path = save(tmp_path / "a.jpg", photo(), exif=b"Exif\x00\x00MM\x00*\x00\x00\xff\xff")
    assert read_image(path).size == (40, 60)


# ---- reading images: what does not ------------------------------------------------------------


def test_no_such_file(tmp_path):
    with pytest.raises(BadImageError) as info:
        read_image(tmp_path / "none.jpg")
    assert sentence(info) == f"'{tmp_path / 'none.jpg'}' does not exist; check the name"


def test_a_folder(tmp_path):
    with pytest.raises(BadImageError) as info:
        read_image(tmp_path)
    assert sentence(info) == f"'{tmp_path}' is a folder, not an image; name a file in it"


def test_not_an_image(tmp_path):
    path = tmp_path / "notes.jpg"
    path.write_text("milk, bread, butter")
    with pytest.raises(BadImageError) as info:
        read_image(path)
    assert sentence(info) == (
        f"'{path}' is not an image that can be read; name a JPEG, PNG, TIFF, WebP, BMP or GIF file"
    )


def test_an_empty_file(tmp_path):
    path = tmp_path / "a.png"
    path.touch()
    with pytest.raises(BadImageError, match="is an empty file; save or copy it again") as info:
        read_image(path)
    sentence(info)


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".png", png(0, 0)),
        (".png", png(0, 5)),
        (".gif", b"GIF89a" + struct.pack("<HH", 0, 3) + b"\x00\x00\x00;"),
        (".bmp", b"BM" + bytes(12) + struct.pack("<IiiHH", 40, 4, 0, 1, 24) + bytes(28)),
        (".ppm", b"P6 0 0 255\n"),
    ],
)
def test_no_pixels(tmp_path, suffix, content):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(BadImageError) as info:
        read_image(path)
    assert sentence(info) == (
        f"'{path}' is an image without pixels (width or height 0); leave it out"
    )


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".bmp", ".gif"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_file(tmp_path, suffix, share):
    noise = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = save(tmp_path / f"a{suffix}", noise)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(BadImageError) as info:
        read_image(path)
    assert sentence(info).startswith(f"'{path}' is ")
    if suffix in (".jpg", ".png"):
        assert "is damaged or cut short" in sentence(info)
        assert sentence(info).endswith("save or copy it again")


def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(30_000, 20_000))
    with pytest.raises(BadImageError) as info:
        read_image(path)
    assert sentence(info) == (
        f"'{path}' has 600,000,000 pixels, more than the 178,956,970 that are read safely; "
        "make it smaller"
    )


def test_a_drawing_is_not_handed_to_another_program(tmp_path):
    path = tmp_path / "a.eps"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")
    with pytest.raises(BadImageError, match=r"is a drawing \(EPS\), not pixels; save it as PNG"):
        read_image(path)


def test_no_permission(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", photo())
    path.chmod(0)
    if os.access(path, os.R_OK):  # the superuser may read anything, so Pillow is made to fail

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(PIL.Image, "open", refuse)
    with pytest.raises(BadImageError) as info:
        read_image(path)
    assert sentence(info) == (
        f"'{path}' may not be read (permission denied); change its permissions or leave it out"
    )


def test_a_disk_error_is_not_called_damage(tmp_path, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(PIL.Image, "open", fail)
    with pytest.raises(BadImageError, match=r"could not be read \(Input/output error\)"):
        read_image(save(tmp_path / "a.png", photo()))


def test_colours_that_cannot_be_converted(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:  # what Pillow says where it was built without littlecms
        raise ValueError("conversion from LAB to RGB not supported")

    path = save(tmp_path / "a.tif", PIL.Image.new("LAB", (4, 4)))
    monkeypatch.setattr(PIL.Image.Image, "convert", refuse)
    with pytest.raises(BadImageError) as info:
        read_image(path)
    assert sentence(info).startswith(f"'{path}' has colours of a kind that cannot be read (LAB: ")


# ---- masks ------------------------------------------------------------------------------------


def test_mask_of_grey_values(tmp_path):
    values = np.array([[0, 1, 255]], np.uint8)
    mask = read_mask(save(tmp_path / "m.png", values), (1, 3))
    assert mask.dtype == np.int32
    assert mask.tolist() == [[0, 1, 255]]


def test_mask_of_16_bit_values_is_not_scaled(tmp_path):
    path = save(tmp_path / "m.png", np.array([[0, 300, 65535]], np.uint16))
    assert read_mask(path).tolist() == [[0, 300, 65535]]


def test_mask_of_palette_indices(tmp_path):
    path = tmp_path / "m.png"
    write_png(path, np.array([[0, 2, 255]], np.uint8), palette())
    assert read_mask(path).tolist() == [[0, 2, 255]]


def test_mask_of_one_bit(tmp_path):
    path = save(tmp_path / "m.png", np.array([[True, False]]))
    assert read_mask(path).tolist() == [[1, 0]]


def test_mask_saved_as_grey_rgb_or_with_alpha(tmp_path):
    grey = np.array([[0, 7]], np.uint8)
    rgb = np.repeat(grey[..., None], 3, axis=2)
    rgba = np.dstack([rgb, np.full_like(grey, 255)])
    for array in (rgb, rgba, PIL.Image.fromarray(grey).convert("LA")):
        assert read_mask(save(tmp_path / "m.png", array)).tolist() == [[0, 7]]


def test_mask_saved_as_jpeg_is_cut_at_the_middle(tmp_path):
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 5:20] = 255
    path = save(tmp_path / "m.jpg", mask, quality=60)
    assert len(np.unique(np.asarray(PIL.Image.open(path)))) > 2
    assert np.array_equal(read_mask(path), mask)


def test_mask_of_whole_floats(tmp_path):
    path = save(tmp_path / "m.tif", np.array([[0, 3]], np.float32))
    assert read_mask(path).tolist() == [[0, 3]]


def test_mask_in_colour(tmp_path):
    path = save(tmp_path / "m.png", photo())
    with pytest.raises(BadImageError) as info:
        read_mask(path)
    assert sentence(info) == (
        f"the mask '{path}' is in colour; save it as a grey or palette PNG "
        "whose values are the class ids"
    )


def test_mask_of_another_size(tmp_path):
    path = save(tmp_path / "m.png", np.zeros((3, 5), np.uint8))
    with pytest.raises(BadImageError) as info:
        read_mask(path, (5, 3))
    assert sentence(info) == (
        f"the mask '{path}' is 5x3, another size than its image, which is 3x5; scale one of them"
    )


@pytest.mark.parametrize(("value", "found"), [(0.5, "not whole"), (-1, "holds -1, less than 0")])
def test_mask_of_impossible_values(tmp_path, value, found):
    path = save(tmp_path / "m.tif", np.array([[0, value]], np.float32))
    with pytest.raises(BadImageError, match=found) as info:
        read_mask(path)
    sentence(info)


def test_mask_that_is_damaged(tmp_path):
    path = save(tmp_path / "m.png", RNG.integers(0, 2, (64, 64), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(BadImageError, match="damaged or cut short"):
        read_mask(path)


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
def test_a_device_without_room(tmp_path, monkeypatch):
    """The real error of a full device, met through the file that write_png opens itself."""
    monkeypatch.setattr(Path, "with_name", lambda self, name: self.parent / "part")
    (tmp_path / "part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as info:
        write_png(tmp_path / "a.png", RNG.integers(0, 256, (64, 64), dtype=np.uint8))
    assert info.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


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
