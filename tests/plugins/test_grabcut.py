"""GrabCut on a picture that it can cut."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from segkit import Catalog, Heatmap, Image, MissingExtraError, Prompt, Prompts
from segkit.running.recipe import make_step

cv2 = pytest.importorskip("cv2")
CATALOG = Catalog(third_party=False)


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(0)
    pixels = rng.normal((60, 90, 60), 12, (120, 160, 3))
    disc = (np.arange(120)[:, None] - 60) ** 2 + (np.arange(160) - 70) ** 2 < 35**2
    pixels[disc] = rng.normal((200, 60, 50), 12, (disc.sum(), 3))
    heat = np.exp(-((np.arange(120)[:, None] - 60) ** 2 + (np.arange(160) - 70) ** 2) / 900)
    return Image(pixels.clip(0, 255).astype(np.uint8), "disc"), disc, Heatmap(heat, "disc")


def cut(scene, prompts=None, heat=None, **options):
    step = make_step(CATALOG, "segmenter", "grabcut", options)
    step.open("cpu")
    image, _, heatmap = scene
    return step(image=image, heatmap=heat or heatmap, prompts=prompts)


def iou(mask, disc):
    return (mask & disc).sum() / (mask | disc).sum()


def test_the_heatmap_alone_finds_the_disc(scene):
    masks = cut(scene)
    assert iou(masks.masks[0], scene[1]) > 0.95
    assert masks.names == ("disc",)
    assert (cut(scene).masks == masks.masks).all()


def test_prompts_answer_one_mask_each_and_backgrounds_are_left_out(scene):
    prompts = Prompts((Prompt(points=[(70, 60)]), Prompt(), Prompt(box=[30, 20, 110, 100])))
    masks = cut(scene, prompts)
    assert masks.prompt.tolist() == [0, 2]
    assert all(iou(mask, scene[1]) > 0.95 for mask in masks.masks)
    held = cut(scene, Prompts((Prompt(points=[(70, 60), (70, 40)], signs=[True, False]),)))
    assert not held.masks[0][40, 70]


def test_without_heat_a_box_is_enough_and_nothing_makes_no_mask(scene):
    cold = Heatmap(np.zeros((120, 160), np.float32))
    (mask,) = cut(scene, Prompts((Prompt(box=[30, 20, 110, 100]),)), cold).masks
    assert iou(mask, scene[1]) > 0.95
    assert len(cut(scene, None, cold)) == 0


def test_large_images_are_worked_on_smaller(scene):
    image, disc, heatmap = scene
    large = Image(np.repeat(np.repeat(image.pixels, 8, 0), 8, 1), "large")
    heat = Heatmap(np.repeat(np.repeat(heatmap.values, 8, 0), 8, 1))
    step = make_step(CATALOG, "segmenter", "grabcut", {})
    (mask,) = step(image=large, heatmap=heat).masks
    assert mask.shape == (960, 1280)
    assert iou(mask, np.repeat(np.repeat(disc, 8, 0), 8, 1)) > 0.93


def test_clicks_on_large_photos_count(scene):
    image = scene[0]
    large = Image(np.repeat(np.repeat(image.pixels, 40, 0), 40, 1), "large")
    cold = Heatmap(np.zeros((4800, 6400), np.float32))
    step = make_step(CATALOG, "segmenter", "grabcut", {})
    for x, y in ((2801, 2405), (2810, 2423)):
        (mask,) = step(image=large, heatmap=cold, prompts=Prompts((Prompt(points=[(x, y)]),))).masks
        assert mask[y, x]


def test_a_pixel_of_an_image(scene):
    step = make_step(CATALOG, "segmenter", "grabcut", {})
    tiny = Image(np.zeros((1, 1, 3), np.uint8), "tiny")
    assert len(step(image=tiny, heatmap=Heatmap(np.ones((1, 1), np.float32)))) == 0


def test_without_opencv_the_install_line_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    step = make_step(CATALOG, "segmenter", "grabcut", {})
    with pytest.raises(MissingExtraError) as error:
        step.open("cpu")
    assert str(error.value) == (
        "--segmenter grabcut needs OpenCV, which is not installed; run: pip install "
        "'segkit[opencv]'"
    )
