"""Large images in tiles: where tiles lie, what is blended and joined, and what is refused."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest
from tile_toys import (
    Flooding,
    Glow,
    Map,
    Parted,
    Regions,
    Seen,
    Stretched,
    Warm,
    blobs,
)

from segkit import Heatmap, Image, Masks, Pipeline, Prompt, Prompter, Prompts, Recipe, UsageError
from segkit.running.blending import blended, shrunk
from segkit.running.tile_prompts import dealt
from segkit.running.tiles import Tiles

SIZES = [(64, 64), (65, 64), (64, 300), (100, 101), (300, 301), (257, 1023), (1000, 129)]
CUTS = [(64, 0), (64, 1), (64, 8), (64, 32), (100, 12), (128, 64)]


class Asking(Prompter):
    """Asks what it was made with: points of several prompts, or boxes."""

    name = "asking"
    points: tuple[tuple[tuple[float, float], ...], ...] = ()
    boxes: tuple[tuple[float, ...], ...] = ()

    def __call__(self) -> Prompts:
        return Prompts(
            (
                *(Prompt(points=several) for several in self.points),
                *(Prompt(box=box) for box in self.boxes),
            )
        )


@pytest.fixture(autouse=True)
def _nothing_seen():
    Seen.sizes.clear()


def both(pixels, tile=64, overlap=16, **steps):
    """What a pipeline makes of the picture as a whole, and in tiles."""
    results = []
    for cut in ({}, {"tile": tile, "overlap": overlap}):
        Seen.sizes.clear()
        steps = {"transform": "none", "saliency": "none", "prompt": "none", **steps}
        with Pipeline(select="none", fuser="none", device="cpu", **steps, **cut) as pipeline:
            results.append(pipeline(pixels))
    return results


# ---- where they lie ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("side", "overlap"), CUTS)
def test_tiles_cover_the_image_and_their_weights_add_up_to_1(size, side, overlap):
    grid = Tiles(side, overlap).grid(size)
    total = np.zeros(size)
    own = np.zeros(size, int)
    for tile, part, (down, across) in zip(grid.tiles, grid.own, grid.weights, strict=True):
        assert max(tile.size) <= side
        assert min(*down, *across) > 0
        total[tile.place] += down[:, None].astype(float) * across
        own[part.place] += 1
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert (own == 1).all()
    for spans in (grid.rows, grid.columns):
        ends = [(after[0], before[1]) for before, after in pairwise(spans)]
        assert all(start + overlap <= end for start, end in ends)


def test_an_image_that_a_tile_holds_is_one_tile():
    assert Tiles(64, 8).hold((64, 64))
    assert not Tiles(64, 8).hold((65, 10))
    assert len(Tiles(64, 8).grid((64, 20)).tiles) == 1


def test_inside_of_a_tile_heat_is_the_tiles_own():
    rng = np.random.default_rng(0)
    grid = Tiles(64, 16).grid((64, 112))
    maps = [rng.random((64, 64), np.float32) for _ in grid.tiles]
    heat = blended(grid, maps)
    np.testing.assert_array_equal(heat[:, :48], maps[0][:, :48])
    np.testing.assert_array_equal(heat[:, 64:], maps[1][:, 16:])
    seam = heat[:, 48:64]
    low, high = np.minimum(maps[0][:, 48:], maps[1][:, :16]), maps[0][:, 48:]
    high = np.maximum(high, maps[1][:, :16])
    assert ((seam >= low - 1e-6) & (seam <= high + 1e-6)).all()


def test_a_small_image_is_the_mean_of_the_pixels_that_it_stands_for():
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (1600, 1200, 3), np.uint8)
    small = shrunk(Image(pixels, "a"), 800).pixels
    mean = pixels.reshape(800, 2, 600, 2, 3).mean(axis=(1, 3))
    assert np.abs(small - mean).max() <= 1


# ---- the same as the whole ---------------------------------------------------------------------

PICTURE = blobs(200, 260, (5, 5, 30, 40), (40, 30, 60, 70), (10, 150, 20, 100), (150, 90, 40, 31))


def test_a_threshold_gives_the_same_mask():
    whole, tiles = both(PICTURE, saliency=Glow(), segmenter=Warm())
    np.testing.assert_allclose(tiles.heatmaps[0].values, whole.heatmaps[0].values, atol=1e-6)
    np.testing.assert_array_equal(tiles.masks.masks, whole.masks.masks)
    assert len(Seen.sizes) == len(Tiles(64, 16).grid((200, 260)).tiles)


def test_a_class_map_is_the_same():
    whole, tiles = both(PICTURE, segmenter=Map())
    np.testing.assert_array_equal(tiles.labels.ids, whole.labels.ids)
    assert tiles.labels.classes == {1: "light"}


@pytest.mark.parametrize("tile", [64, 100, 128])
def test_regions_across_seams_are_one(tile):
    whole, tiles = both(PICTURE, tile, tile // 4, segmenter=Regions())

    def sorted_masks(masks):
        return sorted(mask.tobytes() for mask in masks.arrays())

    assert len(tiles.masks) == 4
    assert sorted_masks(tiles.masks) == sorted_masks(whole.masks)
    assert tiles.masks.prompt.tolist() == [0, 1, 2, 3]


def test_points_are_followed_into_the_next_tiles():
    points = (((40, 60),), ((200, 15), (160, 25)), ((2, 2),), ((100, 160),))
    whole, tiles = both(PICTURE, prompt=Asking(points=points), segmenter=Flooding())
    np.testing.assert_array_equal(tiles.masks.masks, whole.masks.masks)
    assert tiles.masks.prompt.tolist() == whole.masks.prompt.tolist() == [0, 1, 2, 3]


def test_boxes_are_cut_at_seams():
    boxes = ((30.0, 40.0, 99.0, 99.0), (0.0, 0.0, 259.0, 199.0), (150.5, 10.0, 160.0, 29.5))
    whole, tiles = both(PICTURE, prompt=Asking(boxes=boxes), segmenter=Flooding())
    np.testing.assert_array_equal(tiles.masks.masks, whole.masks.masks)


@pytest.mark.parametrize("seed", range(8))
def test_random_rectangles_are_the_same(seed):
    rng = np.random.default_rng(seed)
    boxes = []
    for top in range(0, 300, 50):
        for left in range(0, 320, 80):  # apart from each other, and across seams
            h, w = rng.integers(20, 45), rng.integers(20, 75)
            boxes.append((top + rng.integers(0, 48 - h), left + rng.integers(0, 78 - w), h, w))
    pixels = blobs(300, 320, *boxes)
    tile = int(rng.integers(64, 160))
    points = tuple(((left + w // 2, top + h // 2),) for top, left, h, w in boxes)
    whole, tiles = both(pixels, tile, tile // 3, prompt=Asking(points=points), segmenter=Flooding())
    np.testing.assert_array_equal(tiles.masks.masks, whole.masks.masks)
    whole, tiles = both(pixels, tile, tile // 3, segmenter=Regions())
    for ours, theirs in ((tiles, whole), (whole, tiles)):
        known = {mask.tobytes() for mask in theirs.masks.arrays()}
        assert {mask.tobytes() for mask in ours.masks.arrays()} == known


# ---- what is shown, and how often --------------------------------------------------------------


def test_no_step_sees_more_than_a_tile():
    for steps in (
        {"segmenter": Regions()},
        {"segmenter": Map()},
        {"saliency": Glow(), "segmenter": Warm()},
        {"prompt": Asking(points=(((40, 60),),)), "segmenter": Flooding()},
    ):
        both(PICTURE, **steps)
        assert Seen.sizes
        assert max(h * w for h, w in Seen.sizes) <= 64 * 64


def test_the_whole_image_is_seen_at_the_size_of_a_tile():
    class Watched(Stretched):
        sizes: ClassVar[list] = []

        def __call__(self, image: Image) -> Heatmap:
            self.sizes.append(image.size)
            return super().__call__(image)

    watched = Watched()
    with Pipeline(saliency=watched, segmenter="threshold", prompt="none", tile=64) as pipeline:
        pipeline(PICTURE)
    assert watched.sizes
    assert max(map(max, watched.sizes)) == 64


def test_a_tile_without_prompts_is_not_encoded():
    both(PICTURE, prompt=Asking(points=(((15, 15),),)), segmenter=Flooding())
    assert len(Seen.sizes) == 1


def test_heat_of_a_tile_that_shows_nothing_is_not_blown_up():
    pixels = blobs(64, 200, (10, 10, 30, 30))
    pixels[20:24, 150:154] = 26  # the hottest there is in the last tile
    for saliency in (Stretched(), Parted()):
        _, tiles = both(pixels, saliency=saliency, segmenter="threshold")
        values = tiles.heatmaps[0].values
        assert values[15, 15] == pytest.approx(1)
        assert values[:, 120:].max() < 0.1
        assert tiles.heatmaps[0].name == "light"


def test_a_point_of_another_tile_is_left_out():
    grid = Tiles(64, 16).grid((64, 112))
    prompt = Prompt(
        points=[(10, 10), (50, 20), (100, 30), (90, 5)], signs=[True, True, True, False]
    )
    asked = dealt(Prompts((prompt,)), grid)
    first, second = asked[0][0].prompt, asked[1][0].prompt
    assert first.points.tolist() == [[10, 10], [50, 20]]
    assert second.points.tolist() == [[2, 20], [52, 30], [42, 5]]
    assert second.signs.tolist() == [True, True, False]


def test_a_box_that_one_tile_holds_asks_no_other():
    grid = Tiles(64, 16).grid((64, 112))
    assert {*dealt(Prompts((Prompt(box=(30, 5, 55, 20)),)), grid)} == {0}
    assert {*dealt(Prompts((Prompt(box=(30, 5, 70, 20)),)), grid)} == {0, 1}


def test_a_mask_prompt_is_cut():
    grid = Tiles(64, 16).grid((64, 112))
    logits = np.full((64, 112), -5, np.float32)
    logits[10:30, 80:100] = 5
    asked = dealt(Prompts((Prompt(mask=logits),)), grid)
    assert {*asked} == {1}
    np.testing.assert_array_equal(asked[1][0].prompt.mask, logits[:, 48:])


def test_masks_that_disagree_are_not_joined():
    class Contrary(Flooding):
        """Sees the upper half in one tile and the lower half in the others."""

        def __call__(self, image: Image, prompts: Prompts, encoding: np.ndarray) -> Masks:
            mask = np.zeros(image.size, bool)
            half = slice(32) if image.pixels[0, 0, 0] else slice(32, None)
            mask[half] = True
            return Masks(
                np.stack([mask] * len(prompts)), [0.5] * len(prompts), [*range(len(prompts))]
            )

    pixels = np.zeros((64, 112, 3), np.uint8)
    pixels[0, 0] = 1
    _, tiles = both(pixels, prompt=Asking(points=(((55, 20),), ((10, 20),))), segmenter=Contrary())
    for mask in tiles.masks.arrays():
        assert mask[:32, :64].all()
        assert mask.sum() == 32 * 64


# ---- what is asked -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"tile": 10}, "--tile should be 64 pixels or more, or 0 for whole images, but is 10"),
        ({"tile": 100, "overlap": 51}, "--overlap should be from 0 to 50, half of --tile 100"),
        ({"overlap": 9}, "--overlap 9 says how far tiles overlap, and there are none; add --tile"),
        ({"tile": "x"}, "the pipeline: tile should be a whole number from 0, but is 'x'"),
        ({"tile": 64, "overlap": -1}, "overlap should be a whole number from 0, but is -1"),
        ({"tile": True}, "tile should be a whole number from 0, but is True"),
    ],
)
def test_what_can_be_no_tile_is_refused(asked, told):
    with pytest.raises(UsageError, match=told.replace(".", r"\.")):
        Pipeline(**asked)


def test_a_judge_that_needs_the_encoding_goes_with_no_tiles():
    from segkit import Judge, PlanError

    class Needy(Judge):
        name = "needy"

        def __call__(self, masks: Masks, encoding: np.ndarray) -> Masks:
            return masks.changed(quality=np.ones(len(masks)))

    told = "needy needs the 'encoding' of the whole image, and with --tile .* leave out --tile or"
    with pytest.raises(PlanError, match=told):
        Pipeline(judge=Needy(), tile=64)


def test_a_recipe_holds_tiles(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text("[run]\ntile = 512\noverlap = 64\n")
    assert Pipeline(path)._plan.tiles == Tiles(512, 64)
    assert Pipeline(path, tile=1024)._plan.tiles == Tiles(1024, 64)
    assert Pipeline(path, tile=0, overlap=0)._plan.tiles is None
    assert Pipeline(path, tile=0)._plan.tiles is None
    assert Recipe.from_dict({"run": {"tile": 80}}).tile == 80
    assert Tiles.of(1024) == Tiles(1024, 128)
