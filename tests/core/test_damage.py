"""Damaged images, and how far values have moved from where they were."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from toys import Squares

from segkit import (
    BadImageError,
    Heatmap,
    Image,
    Labels,
    Masks,
    Perturbation,
    Prompt,
    Prompts,
    Truth,
)
from segkit.comparing.damage import Damaged, heatmap_drift, mask_lost, prompts_moved, true_iou
from segkit.running.walk import Outcome

RNG = np.random.default_rng(0)


class Speckle(Perturbation):
    """Random values, as strong as the level."""

    name = "speckle"

    def __call__(self, image: Image, level: float, rng: np.random.Generator) -> Image:
        noise = rng.integers(0, 9, image.pixels.shape) * level
        return Image((image.pixels + noise).clip(0, 255).astype(np.uint8), "another name")


class Crop(Perturbation):
    """Half of the picture, which no perturbation may do."""

    name = "crop"

    def __call__(self, image: Image, level: float) -> Image:
        return Image(image.pixels[::2], image.name)


class Torn(Perturbation):
    """Cannot do it."""

    name = "torn"

    def __call__(self, image: Image, level: float) -> Image:
        raise ZeroDivisionError("no\nway")


def heat(*rows, name=None):
    return Heatmap(np.array(rows, np.float32), name)


# ---- the data set ------------------------------------------------------------------------------


def test_an_image_comes_as_it_is_then_under_all_damage():
    damaged = Damaged.of(Squares(count=2), [Speckle()], 2, seed=0)
    assert damaged.names == [
        *("square-0", "square-0 @ speckle 1", "square-0 @ speckle 2"),
        *("square-1", "square-1 @ speckle 1", "square-1 @ speckle 2"),
    ]
    (image, truth), (first, same), (second, _) = (damaged[i] for i in range(3))
    assert np.array_equal(image.pixels, Squares()[0][0].pixels)
    assert same is truth
    assert {image.name, first.name, second.name} == {"square-0"}
    one, two = (d.pixels.astype(int) - image.pixels for d in (first, second))
    assert one.any()
    assert np.array_equal(np.minimum(two, 100), 2 * one), "the same pattern, twice as strong"


def test_damage_depends_on_seed_and_image_alone():
    def pixels(index, seed):
        damaged = Damaged.of(Squares(count=8), [Speckle()], 1, seed)
        undone, made = damaged[2 * index][0], damaged[2 * index + 1][0]
        return made.pixels.astype(int) - undone.pixels

    assert np.array_equal(pixels(1, 0), pixels(1, 0))
    assert not np.array_equal(pixels(1, 0), pixels(1, 1))
    assert not np.array_equal(pixels(1, 0), pixels(2, 0))


def test_a_file_is_read_once_for_all_its_damage():
    read = []

    class Watched(Squares):
        def __getitem__(self, index):
            read.append(index)
            return super().__getitem__(index)

    damaged = Damaged.of(Watched(count=3), [Speckle()], 4, seed=0)
    for index in range(len(damaged)):
        damaged[index]
    assert read == [0, 1, 2]


def test_what_cannot_be_damaged_is_said():
    damaged = Damaged.of(Squares(bad=(0,)), [Speckle()], 1, seed=0)
    for index in (0, 1):
        with pytest.raises(BadImageError, match=r"square-0: the file is torn; replace it"):
            damaged[index]
    with pytest.raises(BadImageError) as wrong:
        Damaged.of(Squares(), [Crop()], 1, seed=0)[1]
    assert str(wrong.value) == (
        "perturbation 'crop' should keep the image's size (12, 16), but made (6, 16)"
    )
    with pytest.raises(BadImageError) as torn:
        Damaged.of(Squares(), [Torn()], 1, seed=0)[1]
    assert str(torn.value) == "perturbation 'torn' raised ZeroDivisionError: no"


# ---- heatmaps ----------------------------------------------------------------------------------


def test_drift_is_one_minus_pearsons_correlation():
    from scipy.stats import pearsonr

    one, other = RNG.random((2, 9, 7))
    wanted = 1 - pearsonr(one.ravel(), other.ravel()).statistic
    assert heatmap_drift([heat(*one)], [heat(*other)]) == pytest.approx(wanted, abs=1e-6)
    assert heatmap_drift([heat(*one)], [heat(*one)]) == pytest.approx(0)
    assert heatmap_drift([heat(*one)], [heat(*(one / 3 + 0.1))]) == pytest.approx(0, abs=1e-6)
    assert heatmap_drift([heat(*one)], [heat(*(1 - one))]) == pytest.approx(2, abs=1e-6)


def test_a_flat_heatmap_is_like_a_flat_one_alone():
    flat, other = heat([0, 0]), heat([0, 1])
    assert heatmap_drift([flat], [flat]) == 0
    assert heatmap_drift([flat], [other]) == heatmap_drift([other], [flat]) == 1


def test_heatmaps_of_one_class_are_compared_wherever_they_stand():
    cat, dog = heat([0, 1, 0], name="cat"), heat([1, 0, 0], name="dog")
    assert heatmap_drift([cat, dog], [dog, cat]) == pytest.approx(0)
    fox = heat([0, 1, 0], name="fox")
    assert heatmap_drift([cat], [fox]) == pytest.approx(0), "else by place"
    one, two = heat((0, 1), (0, 0)), heat((0, 0), (1, 0))
    assert heatmap_drift([one, two], [one, two]) == pytest.approx(0), "also where none is named"
    assert heatmap_drift([cat, dog], [cat]) == pytest.approx(0.5), "one has no counterpart"
    assert heatmap_drift([], []) is None


# ---- prompts -----------------------------------------------------------------------------------


def test_points_are_matched_so_that_the_way_is_least():
    points = RNG.random((4, 2)) * 50
    before = Prompts((Prompt(points[:2]), Prompt(points[2:])))
    after = Prompts((Prompt(points[[3, 0, 2, 1]] + np.array([3, 4])),))
    way = prompts_moved(before, after, (60, 80))
    ways = np.linalg.norm(points[:, None] - (points + np.array([3, 4])), axis=-1)
    least = min(sum(ways[i, p[i]] for i in range(4)) for p in itertools.permutations(range(4)))
    assert way == pytest.approx(least / 4, rel=1e-5)
    assert prompts_moved(before, before, (60, 80)) == 0


def test_what_is_too_many_or_too_few_moved_by_the_diagonal():
    one, two = Prompts((Prompt([(1, 1)]),)), Prompts((Prompt([(1, 1), (9, 9)]),))
    diagonal = math.hypot(60, 80)
    assert prompts_moved(one, two, (60, 80)) == pytest.approx(diagonal / 2)
    assert prompts_moved(two, one, (60, 80)) == pytest.approx(diagonal / 2)
    assert prompts_moved(one, Prompts(), (60, 80)) == pytest.approx(diagonal)


def test_foreground_background_and_boxes_are_told_apart():
    before = Prompts((Prompt([(0, 0), (10, 0)], [True, False], box=[0, 0, 10, 10]),))
    after = Prompts((Prompt([(10, 0), (0, 0)], [True, False], box=[0, 0, 10, 16]),))
    assert prompts_moved(before, after, (60, 80)) == pytest.approx((10 + 10 + 3) / 3)


def test_no_points_and_no_boxes_move_nowhere():
    mask = Prompts((Prompt(mask=np.ones((4, 4), np.float32)),))
    assert prompts_moved(mask, mask, (60, 80)) is None
    assert prompts_moved(Prompts(), Prompts(), (60, 80)) is None


# ---- masks -------------------------------------------------------------------------------------


def outcome(ids=None, masks=None, truth=None):
    labels = None if ids is None else Labels(np.array(ids), {1: "a", 2: "b"})
    made = None
    if masks is not None:
        made = Masks(np.array(masks, bool), np.ones(len(masks)), np.arange(len(masks)))
    true = None if truth is None else Truth(Labels(np.array(truth), {1: "a"}))
    return Outcome("r", "n", labels=labels, masks=made, truth=true)


def test_mask_lost_is_the_foregrounds_iou_whatever_the_class():
    assert mask_lost(outcome([[1, 1, 0, 0]]), outcome([[0, 2, 2, 0]])) == pytest.approx(2 / 3)
    assert mask_lost(outcome([[0, 0]]), outcome([[0, 0]])) == 0
    both = outcome(masks=[[[1, 0, 0]], [[0, 1, 0]]])
    assert mask_lost(both, outcome(masks=[[[1, 0, 0]]])) == pytest.approx(0.5)
    assert mask_lost(outcome(), outcome()) is None


def test_true_iou_leaves_void_out_and_needs_an_object():
    assert true_iou(outcome([[1, 1, 0, 1]], truth=[[1, 0, 1, 255]])) == pytest.approx(1 / 3)
    assert true_iou(outcome([[1, 1]], truth=[[0, 255]])) is None
    assert true_iou(outcome([[1, 1]])) is None
    assert true_iou(outcome(truth=[[1, 1]])) is None
