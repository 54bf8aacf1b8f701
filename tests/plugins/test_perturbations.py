"""What every perturbation promises: level 0 changes nothing, and damage only grows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from segkit import Catalog, Image, Prompt, Prompts, UsageError
from segkit.running.recipe import make_step

CATALOG = Catalog(third_party=False)
ALL = [entry.name for entry in CATALOG.entries("perturbation")]
ON_PROMPTS = [n for n in ALL if CATALOG.load("perturbation", n).output() is Prompts]
ON_IMAGES = [n for n in ALL if n not in ON_PROMPTS]


@pytest.fixture(scope="module")
def photo():
    from skimage import data

    return Image(data.astronaut()[::4, 10:-10:4], "astronaut")


PROMPTS = Prompts(
    (
        Prompt([(40, 50), (60, 70)], [True, False], name="cat", score=0.5),
        Prompt(box=[30, 40, 80, 90]),
        Prompt([(64, 64)], box=[10, 20, 90, 110], mask=np.ones((4, 4), np.float32)),
    )
)


def damaged(name, level, image, seed=0, **options):
    """What the perturbation makes, of the image or of the prompts, with its own `rng`."""
    step = make_step(CATALOG, "perturbation", name, options)
    there = {
        "image": image,
        "prompts": PROMPTS,
        "level": float(level),
        "rng": np.random.default_rng(seed),
    }
    return step(**{key: there[key] for key in type(step).inputs().all})


def numbers(prompts):
    """All coordinates of prompts in a row."""
    return np.concatenate(
        [
            np.concatenate([p.points.ravel(), [] if p.box is None else p.box.ravel()])
            for p in prompts
        ]
    )


def test_the_issue_of_robustness_is_covered():
    assert set(ON_PROMPTS) == {"point-jitter", "box-jitter"}
    assert set(ON_IMAGES) >= {
        *("gaussian-noise", "gaussian-blur", "contrast-up", "contrast-down", "brightness-up"),
        *("brightness-down", "occlusion", "salt-and-pepper", "jpeg", "low-resolution"),
        *("motion-blur", "haze"),
    }


@pytest.mark.parametrize("name", ON_IMAGES)
def test_images_level_0_is_the_same_pixels(name, photo):
    assert np.array_equal(damaged(name, 0, photo).pixels, photo.pixels)


@pytest.mark.parametrize("name", ON_PROMPTS)
def test_prompts_level_0_is_the_same_prompts(name, photo):
    same = damaged(name, 0, photo)
    assert np.array_equal(numbers(same), numbers(PROMPTS))


@pytest.mark.parametrize("name", ON_IMAGES)
def test_images_keep_size_type_and_name(name, photo):
    made = damaged(name, 3, photo)
    assert made.pixels.dtype == np.uint8
    assert made.size == photo.size
    assert made.name == photo.name
    assert not np.array_equal(made.pixels, photo.pixels)


@pytest.mark.parametrize("name", ON_IMAGES)
def test_images_are_damaged_more_at_each_level(name, photo):
    levels = [damaged(name, level, photo).pixels for level in (0, 0.5, 1, 2, 3, 4, 5)]
    damage = [np.abs(made - photo.pixels.astype(float)).mean() for made in levels]
    assert all(one < more for one, more in pairwise(damage)), damage


@pytest.mark.parametrize("name", ON_PROMPTS)
def test_prompts_move_farther_at_each_level(name, photo):
    levels = [damaged(name, level, photo) for level in (0, 0.5, 1, 2, 3)]
    moved = [np.abs(numbers(made) - numbers(PROMPTS)).mean() for made in levels]
    assert all(one < more for one, more in pairwise(moved)), moved


@pytest.mark.parametrize("name", ALL)
def test_the_same_generator_makes_the_same_damage(name, photo):
    def values(seed):
        made = damaged(name, 2, photo, seed)
        return made.pixels if isinstance(made, Image) else numbers(made)

    assert np.array_equal(values(1), values(1))
    if "rng" in CATALOG.load("perturbation", name).inputs().all:
        assert not np.array_equal(values(1), values(2))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("level", [1, 100, 1e4])
def test_one_pixel_and_absurd_levels_have_a_result(name, level):
    one = Image(np.full((1, 1, 3), 77, np.uint8), "one")
    options = {"ratio": 1.001} if "contrast" in name or name == "low-resolution" else {}
    options |= {"step": 0.001} if name == "motion-blur" else {}
    step = make_step(CATALOG, "perturbation", name, options)
    prompts = Prompts((Prompt([(0, 0)], box=[0, 0, 0, 0]), Prompt()))
    there = {"image": one, "prompts": prompts, "level": level, "rng": np.random.default_rng(0)}
    made = step(**{key: there[key] for key in type(step).inputs().all})
    if isinstance(made, Image):
        assert made.size == (1, 1)
    else:
        assert np.array_equal(numbers(made), np.zeros(6))


def test_nothing_asked_stays_nothing(photo):
    for name in ON_PROMPTS:
        step = make_step(CATALOG, "perturbation", name, {})
        made = step(Prompts(), photo, 3.0, np.random.default_rng(0))
        assert len(made) == 0


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("gaussian-noise", "step", 0),
        ("contrast-up", "ratio", 1),
        ("low-resolution", "ratio", 0.5),
        ("occlusion", "step", 2),
        ("motion-blur", "angle", 200),
        ("haze", "airlight", 256),
    ],
)
def test_options_that_make_no_sense_are_refused(name, option, value):
    with pytest.raises(UsageError, match=f"Invalid value for --{name}.{option}: Input should be"):
        make_step(CATALOG, "perturbation", name, {option: value})
