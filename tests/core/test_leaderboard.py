"""The leaderboard: intervals, verdicts, honesty."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segkit import Metric
from segkit.comparing.leaderboard import make_leaderboard
from segkit.running.records import ResultLine


class Share(Metric):
    """A mean of figures."""

    name = "share"

    def count(self, image):
        """A leaderboard starts from counts that a run has made."""
        raise AssertionError("nothing should be counted anew")

    def score(self, counts):
        """The mean."""
        return {"share": counts["sum"] / counts["n"]} if counts.get("n") else {}


class Away(Share):
    """A distance."""

    name = "away"
    lower_is_better = True

    def score(self, counts):
        """The mean."""
        return {"away": counts["sum"] / counts["n"]} if counts.get("n") else {}


def lines(values, metric="share", seconds=1.0):
    return {
        f"i{i}": ResultLine(
            name=f"i{i}",
            status="ok",
            counts={metric: {"sum": float(v), "n": 1}},
            seconds={"step": seconds},
        )
        for i, v in enumerate(values)
    }


def board(metric=None, **recipes):
    metric = metric or Share()
    return make_leaderboard(
        {name: lines(values, metric.name) for name, values in recipes.items()},
        dict.fromkeys(recipes, (metric,)),
        sort_by=metric.name,
    )


def test_the_interval_of_a_mean_is_students():
    from scipy.stats import t

    rng = np.random.default_rng(0)
    for n in (10, 40, 200):
        values = rng.normal(3, 1, n)
        row = board(one=values).rows[0].scores["share"]
        half = t.ppf(0.975, n - 1) * values.std(ddof=1) / math.sqrt(n)
        assert row.mean == pytest.approx(values.mean())
        assert row.low == pytest.approx(values.mean() - half, abs=0.12 * half)
        assert row.high == pytest.approx(values.mean() + half, abs=0.12 * half)


def test_ratios_are_worked_out_of_added_counts():
    counts = {"a": (1, 10), "b": (9, 10), "c": (0, 80)}
    found = {
        name: ResultLine(name=name, status="ok", counts={"share": {"sum": s, "n": n}})
        for name, (s, n) in counts.items()
    }
    row = make_leaderboard({"r": found}, {"r": (Share(),)}, sort_by="share").rows[0]
    assert row.scores["share"].mean == pytest.approx(0.1)
    assert row.scores["share"].low == 0
    assert row.scores["share"].high == pytest.approx(0.9)


def test_pairs_are_compared_image_by_image():
    rng = np.random.default_rng(1)
    hard = rng.uniform(0, 1, 60)  # what makes images hard is far larger than the difference
    found = board(low=hard, high=hard + 0.02 + rng.normal(0, 0.01, 60))
    assert [row.recipe for row in found.rows] == ["high", "low"]
    pair = found.pair("low", "high")
    assert (pair.better, pair.worse) == ("high", "low")
    assert pair.distinguishable
    assert pair.sentence.startswith("high beats low by 0.019 ± 0.00")
    assert found.rows[0].scores["share"].low < found.rows[1].scores["share"].high


def test_what_may_be_chance_is_not_claimed():
    rng = np.random.default_rng(2)
    found = board(a=rng.uniform(0, 1, 30), b=rng.uniform(0, 1, 30))
    (sentence,) = found.verdicts()
    assert "are not distinguishable on 30 images (share better by 0.0" in sentence
    assert found.pairs[0].low < 0 < found.pairs[0].high


def test_few_images_prove_nothing():
    found = board(a=[0.9] * 5, b=[0.1] * 5)
    assert not found.pairs[0].distinguishable
    assert board(a=[0.9] * 6, b=[0.1] * 6).pairs[0].distinguishable
    assert not board(a=[0.9], b=[0.1]).pairs[0].distinguishable


def test_equal_recipes_are_called_the_same():
    assert board(a=[0.5, 0.7], b=[0.5, 0.7]).verdicts() == ["a and b have the same share"]


def test_of_distances_the_least_is_best():
    found = board(Away(), near=np.full(20, 3.0), far=np.full(20, 9.0))
    assert not found.higher_is_better
    assert [row.recipe for row in found.rows] == ["near", "far"]
    assert found.pairs[0].sentence == "near beats far by 6.000 ± 0.000 away"


@pytest.mark.slow
def test_differences_of_random_sign_are_seldom_claimed():
    rng = np.random.default_rng(7)
    # As IoU differences are: mostly none, a few large.
    differences = np.where(rng.random(100) < 0.4, rng.normal(0, 0.02, 100), 0)
    differences[:6] = rng.uniform(0.2, 0.8, 6)
    claimed = 0
    for _ in range(200):
        flipped = differences * rng.choice([-1, 1], 100)
        (pair,) = board(a=flipped, b=np.zeros(100)).pairs
        claimed += pair.distinguishable
    assert claimed <= 0.07 * 200


def test_only_images_that_all_recipes_finished_count():
    one, other = lines([1.0, 0.0, 0.5]), lines([1.0, 0.0, 0.5])
    other["i1"] = ResultLine(name="i1", status="failed")
    found = make_leaderboard(
        {"a": one, "b": other}, {"a": (Share(),), "b": (Share(),)}, sort_by="share"
    )
    assert found.images == 2
    assert {row.scores["share"].mean for row in found.rows} == {0.75}
    assert found.failed == {"i1": ["b"]}
    assert {row.recipe: row.failed for row in found.rows} == {"a": 0, "b": 1}


def test_a_figure_that_nobody_has_is_told_and_another_taken():
    found = make_leaderboard({"a": lines([1.0])}, {"a": (Share(),)}, sort_by="iou")
    assert found.metric == "share"
    assert found.caution == "no recipe has iou, so they are sorted by share"
    assert make_leaderboard({"a": lines([1.0])}, {"a": (Share(),)}).caution == ""


def test_one_image_has_no_interval():
    found = board(a=[0.8], b=[0.3])
    assert str(found.rows[0].scores["share"]) == "0.800"
    assert found.verdicts() == ["a and b are not distinguishable on 1 image"]
    assert found.to_dict()["rows"][0]["scores"]["share"]["low"] is None


def test_without_figures_there_is_still_a_board():
    found = make_leaderboard({"a": lines([1.0]), "b": lines([0.0])}, {"a": (), "b": ()})
    assert [row.scores for row in found.rows] == [{}, {}]
    assert found.to_dict()["rows"][0]["verdict"] == ""
    assert found.verdicts() == []


def test_json_and_csv_hold_the_rows():
    import csv
    import io
    import json

    found = board(a=[0.5, 0.6, 0.7, 0.8, 0.9, 1.0], b=[0.1] * 6)
    text = json.loads(json.dumps(found.to_dict()))
    assert [row["recipe"] for row in text["rows"]] == ["a", "b"]
    assert set(text["rows"][0]["scores"]["share"]) == {"mean", "low", "high"}
    assert text["rows"][0]["seconds"] == {"step": 1.0}
    assert text["rows"][0]["verdict"] == text["pairs"][0]["sentence"]
    table = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert [row["recipe"] for row in table] == ["a", "b"]
    assert float(table[0]["share"]) == pytest.approx(0.75)
    assert "<td>a</td>" in found._repr_html_()


def test_many_comparisons_come_with_a_caution():
    rng = np.random.default_rng(0)
    many = board(**{f"r{i}": rng.uniform(0, 1, 8) for i in range(6)})
    assert many.caution == (
        "15 pairs were compared: were all recipes alike, about 1 of them would seem to differ by "
        "chance"
    )
    assert board(a=[1.0], b=[0.0]).caution == ""
