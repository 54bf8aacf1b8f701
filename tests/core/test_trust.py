"""How far to trust a judge: figures that are worked out by hand, and what a diagnosis keeps."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from judge_toys import Share
from toys import Best, Bright, Flood, Paint, Peak, Right, Squares, Whole

from segkit import plan
from segkit.comparing.diagnosis import diagnose_plans
from segkit.comparing.records import Diagnosis
from segkit.comparing.trust import auc, coverage, rank_correlation, recipe_trust
from segkit.running.records import LossNotes


def notes(true, quality=None, **said):
    """What was noted of images with these IoUs."""
    rows = {"quality": quality, **said}
    return [
        LossNotes(
            iou=iou,
            best_candidate=1,
            true_point=1,
            true_box=1,
            cause="placement",
            **{name: values[i] for name, values in rows.items() if values is not None},
        )
        for i, iou in enumerate(true)
    ]


def test_error_bias_and_bins():
    trust = recipe_trust("a", notes([0.2, 0.4, 0.9, 1.0], [0.3, 0.3, 0.8, 1.0]))
    assert trust.error == pytest.approx(0.075)
    assert trust.bias == pytest.approx(-0.025)
    assert [(one.low, one.images, one.iou) for one in trust.bins] == [
        *((0.3, 2, pytest.approx(0.3)), (0.8, 1, 0.9), (0.9, 1, 1.0))
    ]
    assert sum(one.images for one in trust.bins) == trust.images == 4


def test_ranks_are_those_of_spearman_and_equals_share_one():
    values, true = np.array([1.0, 2, 3, 4]), np.array([0.1, 0.2, 0.4, 0.3])
    assert rank_correlation(values, true) == pytest.approx(0.8)  # 1 - 6 · 2 / (4 · 15)
    assert rank_correlation(-values, true) == pytest.approx(-0.8)
    assert math.isnan(rank_correlation(np.ones(4), true))
    assert math.isnan(rank_correlation(np.ones(1), np.ones(1)))


def test_auc_counts_pairs():
    good = np.array([False, False, True, True])
    assert auc(np.array([0.1, 0.4, 0.35, 0.8]), good) == pytest.approx(0.75)
    assert auc(np.ones(4), good) == pytest.approx(0.5)
    assert math.isnan(auc(np.ones(4), np.ones(4, bool)))


def test_the_most_trusted_are_counted_and_equals_as_if_drawn():
    true = np.arange(10) / 10
    assert coverage(true, true) == pytest.approx([0.45, 0.5, 0.55, 0.6, 0.65, 0.7])
    assert coverage(-true, true) == pytest.approx([0.45, 0.4, 0.35, 0.3, 0.25, 0.2])
    assert coverage(np.zeros(10), true) == pytest.approx([0.45] * 6)


def test_the_truth_is_the_best_order_and_the_sentence_says_all():
    rng = np.random.default_rng(3)
    true = rng.random(30)
    quality = (true + rng.normal(0, 0.1, 30)).clip(0, 1)
    trust = recipe_trust("a", notes(true, quality, score=rng.random(30), probability=[1.0] * 30))
    assert [order.by for order in trust.orders] == ["quality", "score", "probability", "truth"]
    best = trust.orders[-1]
    assert best.rank_correlation == pytest.approx(1)
    for order in trust.orders:
        assert all(a <= b + 1e-12 for a, b in zip(order.iou, best.iou, strict=True))
    assert trust.reading == (
        f"a is judged {quality.mean():.3f} and is {true.mean():.3f}: the judge is off by "
        f"{trust.error:.3f} an image, and its rank correlation with the truth is "
        f"{trust.orders[0].rank_correlation:.2f} (the segmenter's score "
        f"{trust.orders[1].rank_correlation:.2f}); its best-judged half is "
        f"{trust.orders[0].iou[-1]:.3f}, by the truth that would be {best.iou[-1]:.3f}."
    )


def test_one_image_and_notes_of_an_older_run_are_no_fault():
    alone = recipe_trust("a", notes([0.5], [0.7]))
    assert alone.error == pytest.approx(0.2)
    assert alone.to_dict()["orders"][0]["rank_correlation"] is None
    assert "rank correlation" not in alone.reading
    older = recipe_trust("a", notes([0.5, 0.6]))
    assert (older.images, older.orders, older.judged) == (2, (), False)
    mixed = [*notes([0.5], [0.7]), *notes([0.6])]
    assert recipe_trust("a", mixed).orders == ()


def test_a_diagnosis_keeps_it(tmp_path):
    steps = (Squares(count=4), Bright(), Flood(), Best(), Paint(), Right())
    plans = {
        "judged": plan([*steps, Peak(), Share(times=5)]),
        "not": plan([*steps[:1], *steps[2:], Whole()]),
    }
    diagnosis = diagnose_plans(plans, tmp_path / "d")
    kept = Diagnosis.model_validate(json.loads((tmp_path / "d/diagnosis.json").read_text()))
    judged, other = kept.trust
    assert judged.recipe == "judged"
    assert judged.judged
    assert not other.judged
    # Flood finds each square, which is 16 of 192 pixels.
    assert judged.error == pytest.approx(1 - 5 * 16 / 192, abs=1e-4)
    assert judged.orders[0].iou == (1,) * 6
    assert judged.reading == diagnosis.trust[0].reading
    line = json.loads((tmp_path / "d/recipes/judged/results.jsonl").read_text().splitlines()[0])
    assert line["notes"]["probability"] == pytest.approx(0.5)  # the heatmap's score
    assert line["notes"]["score"] == pytest.approx(0.75)
