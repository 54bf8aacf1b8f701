"""match-heatmap: which of the masks of everything the heatmaps choose."""

from __future__ import annotations

import numpy as np

from segkit import Catalog, Heatmap, Image, Masks, Pipeline, Saliency, Segmenter
from segkit.running.recipe import make_step

CATALOG = Catalog(third_party=False)
SIZE = (4, 12)


def match(masks, *heatmaps, **options):
    step = make_step(CATALOG, "selector", "match-heatmap", options)
    return step(masks=masks, heatmaps=heatmaps)


def columns(first, last):
    mask = np.zeros(SIZE, bool)
    mask[:, first : last + 1] = True
    return mask


def bands(*spans, prompt=None, scores=None, names=()):
    n = len(spans)
    masks = np.stack([columns(*span) for span in spans])
    return Masks(masks, scores or np.ones(n), prompt or np.arange(n), names)


def heat(*levels, name=None):
    """Each level fills as many columns as its own count says."""
    values = np.zeros(SIZE, np.float32)
    for (first, last), level in levels:
        values[:, first : last + 1] = level
    return Heatmap(values, name)


def soft_iou(mask, values):
    """Σ min / Σ max, as the docstring has it."""
    values = values / values.max()
    return np.minimum(mask, values).sum() / np.maximum(mask, values).sum()


def test_the_mask_of_the_largest_soft_iou_stays():
    rng = np.random.default_rng(0)
    values = (rng.random(SIZE) * 0.6).astype(np.float32)
    masks = Masks(rng.random((8, *SIZE)) > 0.5, np.zeros(8), np.arange(8))
    wanted = int(np.argmax([soft_iou(mask, values) for mask in masks.masks]))
    assert match(masks, Heatmap(values)).prompt.tolist() == [wanted]
    best = np.argsort([-soft_iou(mask, values) for mask in masks.masks])[:3]
    assert match(masks, Heatmap(values), most=3).prompt.tolist() == sorted(best.tolist())


def test_each_heatmap_has_its_own_mask_and_gives_it_its_class():
    masks = bands((0, 11), (1, 4), (6, 9), (10, 11))
    cat, dog = heat(((0, 4), 1), name="cat"), heat(((6, 10), 0.5), name="dog")
    made = match(masks, cat, dog)
    assert made.prompt.tolist() == [1, 2]
    assert made.names == ("cat", "dog")
    named = match(bands((1, 4), (6, 9), names=("pug", None)), cat, dog)
    assert named.names == ("pug", "dog")


def test_candidates_of_one_prompt_compete_first():
    masks = bands((0, 4), (1, 4), (1, 3), prompt=[0, 0, 1])
    made = match(masks, heat(((1, 4), 1)), most=3)
    assert made.prompt.tolist() == [0, 1]
    assert made.areas.tolist() == [16, 12]


def test_what_matches_too_little_is_left_out():
    masks = bands((0, 5), (8, 11))
    assert len(match(masks, heat(((0, 2), 1)), least=0.5)) == 1
    assert len(match(masks, heat(((0, 2), 1)), least=0.51)) == 0
    assert len(match(masks, heat())) == 0
    assert match(masks, heat(((0, 2), 1)), most=2).prompt.tolist() == [0]
    assert len(match(Masks.none(SIZE), heat(((0, 2), 1)))) == 0


def test_of_equals_the_better_score_stays():
    assert match(bands((0, 3), (0, 3), scores=[0.1, 0.9]), heat(((0, 3), 1))).prompt.tolist() == [1]
    assert match(bands((0, 3), (0, 3)), heat(((0, 3), 1))).prompt.tolist() == [0]


class TwoClasses(Saliency):
    """Two heatmaps."""

    name = "two-classes"

    def __call__(self, image: Image) -> tuple[Heatmap, ...]:
        return heat(((0, 4), 1), name="cat"), heat(((6, 10), 1), name="dog")


class Everything(Segmenter):
    """Masks that nobody asked for."""

    name = "everything"

    def __call__(self, image: Image) -> Masks:
        return bands((0, 11), (11, 11), (6, 9), (10, 11), (1, 4))


def test_in_a_run_all_heatmaps_meet_all_masks():
    """Masks that answer no prompt belong to no heatmap beforehand."""
    made = Pipeline(
        saliency=TwoClasses(), segmenter=Everything(), select="match-heatmap", prompt=None
    )(np.zeros((*SIZE, 3), np.uint8))
    assert sorted(zip(made.masks.names, made.masks.areas.tolist(), strict=True)) == [
        ("cat", 16),
        ("dog", 16),
    ]
    assert set(made.labels.classes.values()) == {"cat", "dog"}


def test_heatmaps_are_made_for_it_where_nobody_says_how():
    made = Pipeline(segmenter=Everything(), select="match-heatmap")
    assert [step.name for step in made._plan.saliencies] == ["gradcam"]
    assert not made._plan.prompters
