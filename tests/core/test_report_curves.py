"""How a figure depends on one option: the curves on a sweep's page."""

from __future__ import annotations

import pytest

from segkit.comparing.records import Estimate, Row
from segkit.reporting.charts import curves


def row(mean, half=0.1, **options):
    score = Estimate(mean=mean, low=mean - half, high=mean + half)
    return Row(recipe=str(options), options=options, scores={"iou": score})


def test_a_figure_over_an_option_is_a_curve_from_left_to_right():
    rows = [row(v, least=at, same="x") for v, at in ((0.5, "0.9"), (0.7, "0.1"), (0.8, "0.5"))]
    (chart,) = curves(rows, "iou", width=400, height=100)
    assert chart.option == "least"
    assert [text for _, text in chart.ticks] == ["0.1", "0.5", "0.9"]
    assert [x for x, _ in chart.ticks] == [0, 200, 400]
    assert (chart.low, chart.high) == pytest.approx((0.4, 0.9))
    (curve,) = chart.curves
    assert curve.rest == ""
    assert [text for *_, text in curve.points] == ["0.1: 0.7000", "0.5: 0.8000", "0.9: 0.5000"]
    assert [y for _, y, _ in curve.points] == pytest.approx([40, 20, 80])  # y runs down
    assert len(curve.band.split()) == 6


def test_other_options_part_the_curves_and_two_values_are_none():
    rows = [row(v / 10, least=f"{v}", prompt=p) for v in (1, 2, 3) for p in ("topk", "box")]
    (chart,) = curves(rows, "iou")
    assert [curve.rest for curve in chart.curves] == ["prompt topk", "prompt box"]
    assert curves(rows[:4], "iou") == []
    assert curves([row(0.5, prompt=p) for p in ("a", "b", "c")], "iou") == []
    assert curves(rows, "dice") == []


def test_a_figure_without_an_interval_has_no_band():
    rows = [
        Row(recipe=str(v), options={"k": v}, scores={"iou": Estimate(mean=v)}) for v in (1, 2, 4)
    ]
    (chart,) = curves(rows, "iou")
    assert chart.curves[0].band == ""
    assert chart.curves[0].line
