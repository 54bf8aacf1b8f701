"""fallback: the heatmap's region in place of doubtful masks."""

from __future__ import annotations

import numpy as np

from segkit import Heatmap, Image, Masks, Pipeline, Prompt, Prompts, Saliency, Segmenter
from segkit_plugins.fuser.fallback import Fallback

SIZE = (2, 10)
IMAGE = Image(np.zeros((*SIZE, 3), np.uint8), "x")


def heat(*spans, name=None):
    values = np.zeros(SIZE, np.float32)
    for first, last, level in spans:
        values[:, first : last + 1] = level
    return Heatmap(values, name)


def masks_of(*spans, quality=None, scores=None, names=()):
    masks = np.zeros((len(spans), *SIZE), bool)
    for mask, (first, last) in zip(masks, spans, strict=True):
        mask[:, first : last + 1] = True
    n = len(spans)
    return Masks(masks, scores or np.ones(n), np.arange(n), names, quality=quality)


def rows(masks):
    return ["".join("01"[v] for v in mask[0].astype(int)) for mask in masks.masks]


def test_a_doubtful_mask_becomes_the_hot_region():
    masks = masks_of((0, 3), (0, 3), quality=[0.49, 0.5])
    made = Fallback().merge(masks, (heat((2, 5, 0.8), (6, 7, 0.4), (8, 9, 0.3)),))
    assert rows(made) == ["0011111100", "1111000000"]
    higher = Fallback(level=0.6).merge(masks, (heat((2, 5, 0.8), (6, 7, 0.4)),))
    assert rows(higher)[0] == "0011110000"
    assert np.array_equal(made.quality, masks.quality)
    assert rows(Fallback(least=0.0).merge(masks, (heat((2, 5, 1)),))) == rows(masks)


def test_where_nobody_has_judged_the_score_is_the_quality():
    masks = masks_of((0, 3), (0, 3), scores=[0.9, 0.3])
    assert rows(Fallback().merge(masks, (heat((5, 6, 1)),))) == ["1111000000", "0000011000"]
    assert rows(Fallback(least=0.95).merge(masks, (heat((5, 6, 1)),))) == ["0000011000"] * 2


def test_of_several_regions_those_count_that_the_prompt_meets():
    islands = (heat((0, 1, 1), (4, 5, 0.7), (8, 9, 0.9)),)
    asked = (
        Prompt(points=[(4.4, 0)]),
        Prompt(box=[5, 0, 8, 1]),
        Prompt(points=[(9, 1), (0, 0)], signs=[True, False]),
        Prompt(points=[(3, 0)]),  # it meets none
        Prompt(mask=np.ones((2, 2), np.float32)),
    )
    masks = masks_of(*[(2, 3)] * 5, quality=[0] * 5)
    assert rows(Fallback().merge(masks, islands, Prompts(asked))) == [
        "0000110000",
        "0000110011",
        "0000000011",
        "1100110011",
        "1100110011",
    ]


def test_the_heatmap_is_that_of_the_masks_class():
    heatmaps = (heat((0, 1, 1), name="cat"), heat((8, 9, 0.5), name="dog"))
    masks = masks_of((4, 4), (4, 4), (4, 4), quality=[0, 0, 0], names=("dog", None, "elk"))
    prompts = Prompts((Prompt(), Prompt(name="cat"), Prompt()))
    made = Fallback().merge(masks, heatmaps, prompts)
    assert rows(made) == ["0000000011", "1100000000", "1100000011"]


def test_without_heat_the_mask_stays():
    masks = masks_of((4, 4), quality=[0.1])
    assert rows(Fallback().merge(masks, (heat(),))) == rows(masks)
    assert len(Fallback().merge(Masks.none(SIZE), (heat((0, 1, 1)),))) == 0


def test_better_masks_lie_on_top():
    masks = masks_of((0, 4), (3, 6), quality=[0.9, 0.6], names=("cat", "dog"))
    labels = Fallback()(image=IMAGE, masks=masks)
    assert labels.ids[0].tolist() == [1, 1, 1, 1, 1, 2, 2, 0, 0, 0]


class Warm(Saliency):
    """One heatmap."""

    name = "warm"

    def __call__(self, image: Image) -> Heatmap:
        return heat((2, 5, 1), name="cat")


class Unsure(Segmenter):
    """A mask of a low score."""

    name = "unsure"

    def __call__(self, image: Image) -> Masks:
        return masks_of((0, 9), scores=[0.2])


def test_in_a_run_metrics_and_files_see_the_coarse_map():
    made = Pipeline(saliency=Warm(), segmenter=Unsure(), prompt=None, fuser="fallback")(
        IMAGE.pixels
    )
    assert rows(made.masks) == ["0011110000"]
    assert (made.labels.ids[0] > 0).tolist() == [v == "1" for v in "0011110000"]
