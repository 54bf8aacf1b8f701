"""Reading images: every kind of file that works, every kind that does not, and its sentence."""

from __future__ import annotations

import errno
import os
import struct
import zlib

import numpy as np
import PIL.Image
import pytest
from image_toys import RNG, photo, save, sentence

from segkit import BadImageError, read_image


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


@pytest.mark.skipif(
    int(PIL.__version__.split(".")[0]) == 12, reason="Pillow 12 cannot read what it writes here"
)
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
