"""best and best-many: what is left of many strategies' masks."""

from __future__ import annotations

import numpy as np
import pytest

from segkit import Image, Masks, Prompt, Prompts
from segkit_plugins.fuser.best import Best
from segkit_plugins.fuser.best_many import BestMany

IMAGE = Image(np.zeros((2, 10, 3), np.uint8), "x")


def bands(*spans, quality=None, scores=None, names=()):
    """Masks that cover columns first … last, one for each prompt; None covers nothing."""
    masks = np.zeros((len(spans), 2, 10), bool)
    for mask, span in zip(masks, spans, strict=True):
        if span:
            mask[:, span[0] : span[1] + 1] = True
    n = len(spans)
    return Masks(masks, scores or np.ones(n), np.arange(n), names, quality=quality)


def result(fuser, masks, prompts=None, **given):
    """The kept masks, and the first row of the class map with its classes."""
    kept = fuser.merge(masks, prompts)
    labels = fuser(image=IMAGE, masks=kept, prompts=prompts, **given)
    return kept, labels.ids[0].tolist(), labels.classes


def test_best_keeps_the_best_judged_mask_alone():
    masks = bands((0, 3), (2, 6), (5, 9), quality=[0.2, 0.8, 0.5], scores=[0.9, 0.1, 0.5])
    kept, ids, classes = result(Best(), masks)
    assert kept.prompt.tolist() == [1]
    assert ids == [0, 0, 1, 1, 1, 1, 1, 0, 0, 0]
    assert classes == {1: "object"}


def test_without_a_judge_the_score_decides_and_of_equals_the_first():
    assert Best().merge(bands((0, 3), (2, 6), scores=[0.3, 0.9])).prompt.tolist() == [1]
    assert Best().merge(bands((0, 3), (2, 6))).prompt.tolist() == [0]


def test_an_empty_mask_is_kept_only_if_there_is_no_other():
    assert Best().merge(bands(None, (2, 6), quality=[0.9, 0.1])).prompt.tolist() == [1]
    kept, ids, _ = result(Best(), bands(None, None, quality=[0.1, 0.9]))
    assert kept.prompt.tolist() == [1]
    assert ids == [0] * 10
    assert len(Best().merge(Masks.none((2, 10)))) == 0


def test_a_mask_without_a_class_is_called_as_the_best_that_looks_like_it():
    prompts = Prompts((Prompt(points=[(0, 0)]), Prompt(points=[(4, 0)], name="dog")) * 2)
    masks = bands((0, 9), (0, 8), (0, 1), (0, 7), quality=[0.9, 0.5, 0.2, 0.6])
    kept, ids, classes = result(Best(), masks, prompts, classes={3: "dog"})
    assert kept.names == ("dog",)
    assert ids == [3] * 10
    assert classes == {3: "dog"}
    far = bands((0, 9), (0, 3), quality=[0.9, 0.5])  # it looks otherwise
    assert result(Best(), far, prompts)[2] == {1: "object"}
    own = bands((0, 9), (0, 9), quality=[0.9, 0.5], names=("cat", "dog"))
    assert result(Best(), own)[2] == {1: "cat"}


def test_best_many_keeps_the_best_of_each_object():
    masks = bands((0, 3), (0, 4), (5, 9), (6, 9), None, quality=[0.3, 0.7, 0.9, 0.8, 1.0])
    kept, ids, _ = result(BestMany(), masks)
    assert kept.prompt.tolist() == [1, 2]
    assert ids == [1] * 10
    assert BestMany(overlap=1).merge(masks).prompt.tolist() == [0, 1, 2, 3]
    part = bands((0, 8), (0, 2), quality=[0.9, 0.8])
    assert BestMany().merge(part).prompt.tolist() == [0, 1]
    assert BestMany(parts=0.9).merge(part).prompt.tolist() == [0]


def test_of_overlapping_masks_the_better_judged_lies_on_top():
    masks = bands((0, 5), (4, 9), quality=[0.9, 0.4], names=("cat", "dog"))
    assert result(BestMany(), masks)[1] == [1] * 6 + [2] * 4
    masks = bands((0, 5), (4, 9), quality=[0.4, 0.9], names=("cat", "dog"))
    assert result(BestMany(), masks)[1] == [1] * 4 + [2] * 6


def test_what_is_dropped_gives_its_class_to_what_stays():
    masks = bands((0, 4), (0, 4), (6, 9), quality=[0.9, 0.5, 0.3], names=(None, "cat", None))
    kept, _, classes = result(BestMany(), masks)
    assert kept.names == ("cat", None)
    assert classes == {1: "cat", 2: "object"}


@pytest.mark.parametrize("fuser", [Best(table="coco-voc"), BestMany(table="coco-voc")])
def test_classes_can_be_renamed(fuser):
    masks = bands((0, 4), quality=[0.9], names=("couch",))
    assert result(fuser, masks)[2] == {1: "sofa"}
