"""Reading masks: grey values, palettes, colours, and what is no mask."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest
from image_toys import RNG, photo, save, sentence

from segkit import BadImageError, palette, read_mask, write_png

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
