"""Which candidate each selector keeps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from segkit import Catalog, Heatmap, Masks
from segkit.running.recipe import make_step

CATALOG = Catalog(third_party=False)
ALL = ("score", "quality", "coverage", "stability", "largest", "smallest")


def square(side):
    mask = np.zeros((12, 12), bool)
    mask[:side, :side] = True
    return mask


def candidates(sides, scores, prompt=None, logits=None):
    masks = np.stack([square(s) for s in sides])
    return Masks(masks, scores, prompt or [0] * len(sides), (), logits)


def chosen(name, masks, heat=None, **options):
    step = make_step(CATALOG, "selector", name, options)
    given = {"masks": masks, "heatmap": Heatmap(np.zeros((12, 12)) if heat is None else heat)}
    return step(**{n: given[n] for n in type(step).inputs().all})


def test_largest_and_smallest():
    masks = candidates([4, 8, 2, 0], [0.1, 0.2, 0.3, 0.9])
    assert chosen("largest", masks).masks[0].sum() == 64
    assert chosen("smallest", masks).masks[0].sum() == 4  # an empty one is no choice …
    empty = candidates([0, 0], [0.1, 0.2])
    assert chosen("smallest", empty).scores.tolist() == pytest.approx([0.2])  # unless all are


def test_coverage_weighs_heat_against_area():
    heat = np.zeros((12, 12), np.float32)
    heat[:4, :4] = 1
    masks = candidates([2, 4, 12], [0.9, 0.1, 0.9])
    assert chosen("coverage", masks, heat).masks[0].sum() == 16
    assert chosen("coverage", masks, heat, power=0).masks[0].sum() in (16, 144)
    heat[:2, :2] = 1
    heat[2:4, :4] = 0.5
    assert chosen("coverage", masks, heat, power=1).masks[0].sum() == 4
    assert chosen("coverage", masks, heat * 0).scores.tolist() == pytest.approx([0.9])


def test_stability_is_the_iou_of_two_thresholds():
    sure = np.where(square(6), 8.0, -8.0)
    unsure = np.where(square(6), 0.5, -0.5)
    logits = np.stack([unsure, sure]).astype(np.float32)
    masks = candidates([6, 6], [0.9, 0.1], logits=logits)
    assert chosen("stability", masks).scores.tolist() == pytest.approx([0.1])
    assert chosen("stability", masks, offset=0.25).scores.tolist() == pytest.approx([0.9])
    assert chosen("stability", candidates([6, 4], [0.1, 0.9])).scores.tolist() == pytest.approx(
        [0.9]
    )


@pytest.mark.parametrize("name", ALL)
def test_every_prompt_keeps_one_in_order_and_equals_go_by_score(name):
    masks = candidates([4, 4, 4, 4], [0.2, 0.8, 0.7, 0.7], prompt=[1, 1, 0, 0])
    found = chosen(name, masks)
    assert found.prompt.tolist() == [0, 1]
    assert found.scores.tolist() == pytest.approx([0.7, 0.8])
    single = candidates([3], [0.4])
    assert (chosen(name, single).masks == single.masks).all()
    assert len(chosen(name, Masks.none((12, 12)))) == 0


def test_quality_goes_by_the_judge_and_without_one_by_the_score():
    masks = candidates([2, 4, 8, 6], [0.9, 0.2, 0.3, 0.4], [0, 0, 0, 1])
    judged = replace(masks, quality=[0.1, 0.7, 0.7, 0.0])
    kept = chosen("quality", judged)
    assert kept.masks.sum(axis=(1, 2)).tolist() == [64, 36]  # of equals the higher score
    assert kept.quality.tolist() == pytest.approx([0.7, 0.0])
    assert chosen("quality", masks).scores.tolist() == pytest.approx([0.9, 0.4])
