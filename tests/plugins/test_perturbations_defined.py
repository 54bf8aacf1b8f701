"""Each perturbation against another library, or against its definition written out."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as Picture
from test_perturbations import PROMPTS, damaged, numbers

from segkit import Image


@pytest.fixture(scope="module")
def photo():
    from skimage import data

    return Image(data.astronaut()[::4, 10:-10:4], "astronaut")


@pytest.fixture(scope="module")
def gray():
    return Image(np.full((200, 300, 3), 128, np.uint8), "gray")


def apart(made, other):
    """The greatest and the mean difference, in grey levels."""
    found = np.abs(np.asarray(made, float) - np.asarray(other, float))
    return found.max(), found.mean()


def test_noise_has_the_deviation_it_says_and_no_mean(gray):
    from scipy import stats

    for level in (1, 2, 4):
        noise = damaged("gaussian-noise", level, gray).pixels.astype(float) - 128
        sigma = np.hypot(5 * level, np.sqrt(1 / 12))  # rounding adds its own variance
        assert noise.std() == pytest.approx(sigma, rel=0.01)
        assert abs(noise.mean()) < 4 * sigma / np.sqrt(noise.size)
        channels = noise.reshape(-1, 3).T
        assert np.abs(np.corrcoef(channels) - np.eye(3)).max() < 0.02
        # Rounding makes steps; spread out again, it is a normal distribution.
        spread = noise + np.random.default_rng(1).uniform(-0.5, 0.5, noise.shape)
        assert stats.kstest(spread.ravel()[::20] / sigma, "norm").pvalue > 0.001


def test_blur_is_a_repeated_convolution(photo):
    """Variances add: three times σ 2 is once σ 2√3; each time by scikit-image's filter."""
    from skimage.filters import gaussian

    for level in (1, 2, 3):
        wanted = photo.pixels.astype(float)
        for _ in range(level):
            wanted = gaussian(wanted, 2, channel_axis=-1, mode="reflect", preserve_range=True)
        greatest, mean = apart(damaged("gaussian-blur", level, photo, sigma=2).pixels, wanted)
        assert greatest < 1
        assert mean < 0.3


def test_blur_against_torchvision_in_the_middle(photo):
    import torch
    from torchvision.transforms.v2.functional import gaussian_blur

    tensor = torch.from_numpy(photo.pixels.copy()).permute(2, 0, 1)
    wanted = gaussian_blur(tensor, [25, 25], [3.0, 3.0]).permute(1, 2, 0).numpy()
    made = damaged("gaussian-blur", 9, photo).pixels
    assert apart(made[14:-14, 14:-14], wanted[14:-14, 14:-14])[0] <= 1


@pytest.mark.parametrize("level", [1, 3, 6])
def test_contrast_against_torchvision(photo, level):
    import torch
    from torchvision.transforms.v2.functional import adjust_contrast

    tensor = torch.from_numpy(photo.pixels.copy()).permute(2, 0, 1)
    for name, factor in (("contrast-up", 1.25**level), ("contrast-down", 1.25**-level)):
        wanted = adjust_contrast(tensor, factor).permute(1, 2, 0).numpy()
        # torchvision rounds the mean and cuts off where we round.
        assert apart(damaged(name, level, photo).pixels, wanted)[0] <= 1 + max(factor, 1)
        exact = factor * photo.pixels + (1 - factor) * (photo.pixels @ [0.299, 0.587, 0.114]).mean()
        assert apart(damaged(name, level, photo).pixels, exact.clip(0, 255))[0] <= 0.51


def test_brightness_is_a_constant_added_and_clipped(photo):
    for level in (1, 2, 5):
        up = [[[min(v + 15 * level, 255) for v in p] for p in r] for r in photo.pixels.tolist()]
        down = [[[max(v - 15 * level, 0) for v in p] for p in r] for r in photo.pixels.tolist()]
        assert np.array_equal(damaged("brightness-up", level, photo).pixels, up)
        assert np.array_equal(damaged("brightness-down", level, photo).pixels, down)


def test_occlusion_is_one_rectangle_of_zeros_that_grows(photo):
    white = Image(np.full((90, 140, 3), 255, np.uint8), "white")
    before = np.zeros((90, 140), bool)
    for seed in range(20):
        before[:] = False
        for level in range(12):
            hidden = (damaged("occlusion", level, white, seed).pixels == 0).all(axis=2)
            side = min(1, 0.1 * level)
            rows, columns = np.flatnonzero(hidden.any(1)), np.flatnonzero(hidden.any(0))
            assert (len(rows), len(columns)) == (round(90 * side), round(140 * side))
            assert hidden.sum() == len(rows) * len(columns)
            if len(rows):
                assert hidden[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
            assert (hidden | ~before).all(), "a larger rectangle holds the smaller one"
            before = hidden
    made = damaged("occlusion", 4, photo).pixels
    seen = (made != 0).any(axis=2)
    assert np.array_equal(made[seen], photo.pixels[seen])


def test_occlusion_may_lie_anywhere():
    white = Image(np.full((100, 100, 3), 255, np.uint8), "white")
    times = sum(damaged("occlusion", 2, white, seed).pixels[..., 0] == 0 for seed in range(200))
    assert times[:10].any()
    assert times[-10:].any()
    assert times[:, :10].any()
    assert times[:, -10:].any()


def test_salt_and_pepper_hits_its_share_half_and_half(gray):
    size = gray.size[0] * gray.size[1]
    before = np.zeros(gray.size, bool)
    for level in (1, 3, 9):
        made = damaged("salt-and-pepper", level, gray).pixels
        black, white = (made == 0).all(axis=2), (made == 255).all(axis=2)
        assert ((made == 128).all(axis=2) | black | white).all(), "all colours or none"
        share = 0.02 * level
        for found in (black, white):
            wanted = size * share / 2
            assert abs(found.sum() - wanted) < 4 * np.sqrt(wanted)
        assert (black | white | ~before).all()
        before = black | white
    assert (damaged("salt-and-pepper", 60, gray).pixels % 255 == 0).all()


def test_jpeg_against_opencv_and_pillow(photo):
    cv2 = pytest.importorskip("cv2")
    for level, quality in ((1, 80), (3, 40), (4, 20), (9, 1)):
        made = damaged("jpeg", level, photo).pixels
        options = [cv2.IMWRITE_JPEG_QUALITY, quality]
        packed = cv2.imencode(".jpg", photo.pixels[..., ::-1], options)[1]
        wanted = cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1]
        assert apart(made, wanted)[1] < 1.5
        file = io.BytesIO()
        Picture.fromarray(photo.pixels).save(file, "jpeg", quality=quality)
        assert np.array_equal(made, np.asarray(Picture.open(file)))


@pytest.mark.parametrize("level", [1, 2, 4])
def test_low_resolution_against_torchvision(photo, level):
    import torch
    from torchvision.transforms.v2.functional import resize

    size = photo.size
    small = [round(n / 1.5**level) for n in size]
    tensor = torch.from_numpy(photo.pixels.copy()).permute(2, 0, 1)
    wanted = resize(resize(tensor, small, antialias=True), list(size), antialias=True)
    made = damaged("low-resolution", level, photo).pixels
    assert apart(made, wanted.permute(1, 2, 0).numpy())[0] <= 2


@pytest.mark.parametrize(("angle", "axis"), [(0, 1), (90, 0), (180, 1), (-90, 0)])
def test_motion_along_an_axis_is_a_running_mean(photo, angle, axis):
    from scipy.ndimage import uniform_filter1d

    for level, length in ((1, 5), (2, 9), (5, 21)):
        pixels = photo.pixels.astype(float)
        wanted = uniform_filter1d(pixels, length, axis=axis, mode="nearest")
        made = damaged("motion-blur", level, photo, angle=angle).pixels
        assert apart(made, wanted)[0] < 0.51


def test_motion_along_a_diagonal_smears_a_dot_along_it():
    dot = np.zeros((41, 41, 3), np.uint8)
    dot[20, 20] = 255
    made = damaged("motion-blur", 5, Image(dot, "dot"), angle=45).pixels[..., 0].astype(float)
    y, x = np.nonzero(made)
    assert (x == y).all(), "x to the right and y down rise together"
    assert made.sum() == pytest.approx(255, abs=len(x) / 2)
    assert abs(x - 20).max() == pytest.approx(21 / 2 / np.sqrt(2), abs=1)
    shallow = damaged("motion-blur", 5, Image(dot, "dot"), angle=20).pixels[..., 0].astype(float)
    y, x = np.indices(shallow.shape) - 20
    moments = np.cov(x.ravel(), y.ravel(), fweights=shallow.ravel().astype(int))
    leading = np.linalg.eigh(moments)[1][:, -1]
    assert np.degrees(np.arctan2(leading[1], leading[0])) % 180 == pytest.approx(20, abs=2)


def test_motion_takes_a_direction_of_its_own_for_each_image():
    dot = np.zeros((41, 41, 3), np.uint8)
    dot[20, 20] = 255
    made = [damaged("motion-blur", 4, Image(dot, "dot"), seed).pixels for seed in range(4)]
    assert not np.array_equal(made[0], made[1])


def test_haze_follows_koschmieder_pixel_by_pixel(photo):
    height, _ = photo.size
    for level in (1, 4):
        made = damaged("haze", level, photo, density=0.4, airlight=220, near=0.25).pixels
        for y in range(0, height, 9):
            depth = 1 - 0.75 * y / (height - 1)
            t = np.exp(-0.4 * level * depth)
            wanted = [[v * t + 220 * (1 - t) for v in pixel] for pixel in photo.pixels[y].tolist()]
            assert apart(made[y], wanted)[0] < 0.51
    even = damaged("haze", 2, Image(np.zeros((9, 9, 3), np.uint8), "black"), near=1).pixels
    assert (even == round(230 * (1 - np.exp(-0.5)))).all()


def test_points_move_by_a_normal_distribution_and_boxes_stay():
    from scipy import stats

    large = Image(np.zeros((120, 120, 3), np.uint8), "large")
    moves = [numbers(damaged("point-jitter", 2, large, seed)) for seed in range(400)]
    moves = np.array(moves) - numbers(PROMPTS)
    places = [0, 1, 2, 3, 8, 9]  # x and y of the three points; the rest are boxes
    for place in places:
        moved = moves[:, place]
        assert moved.std() == pytest.approx(8, rel=0.12)
        assert stats.kstest(moved / 8, "norm").pvalue > 0.001
    boxes = np.delete(moves, places, axis=1)
    assert not boxes.any()


def test_boxes_move_side_by_side_and_points_stay():
    large = Image(np.zeros((120, 120, 3), np.uint8), "large")
    made = [damaged("box-jitter", 1, large, seed) for seed in range(400)]
    sides = np.array([prompts[1].box for prompts in made]) - PROMPTS[1].box
    assert sides.std(axis=0) == pytest.approx([4] * 4, rel=0.12)
    assert np.abs(np.corrcoef(sides.T) - np.eye(4)).max() < 0.2
    assert all(np.array_equal(p[0].points, PROMPTS[0].points) for p in made)


def test_jitter_stays_inside_and_keeps_names_signs_and_masks():
    small = Image(np.zeros((120, 100, 3), np.uint8), "small")
    for name in ("point-jitter", "box-jitter"):
        for seed in range(20):
            made = damaged(name, 50, small, seed)
            xy = numbers(made).reshape(-1, 2)
            assert (xy >= 0).all()
            assert (xy <= [99, 119]).all()
            assert [(p.name, p.score, p.signs.tolist()) for p in made] == [
                (p.name, p.score, p.signs.tolist()) for p in PROMPTS
            ]
            assert np.array_equal(made[2].mask, PROMPTS[2].mask)
