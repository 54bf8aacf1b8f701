"""What metrics say of their figures, and who takes their word for it."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from toys import Best, Bright, Flood, Paint, Peak, Squares

from segkit import BadValueError, Figure, Metric, PluginError, UsageError, plan, run
from segkit.comparing.leaderboard import make_leaderboard
from segkit.comparing.robustness import make_robustness
from segkit.comparing.sweep import check_figure
from segkit.plugins.figures import figure_of, metric_of
from segkit.running.records import ResultLine
from segkit_plugins.metric.boundary_iou import BoundaryIoU
from segkit_plugins.metric.distance import Distance
from segkit_plugins.metric.iou import IoU

PX = Figure(lower_is_better=True, unit="px")


class Boundary(Metric):
    """A third party's distance of outlines, which declares nothing but the class attribute."""

    name = "boundary"
    lower_is_better = True

    def count(self, truth):
        """A comparison starts from counts that a run has made."""
        raise AssertionError("nothing should be counted anew")

    def score(self, counts):
        """Two figures, the second with the name behind a hyphen."""
        mean = counts["sum"] / counts["images"]
        return {"boundary": mean, "boundary-worst": 2 * mean}


class PerClass(Metric):
    """A figure for each class, whose names are not known beforehand, and one that is."""

    name = "class-away"
    figures = {"class-away-*": PX, "class-away-background": Figure(), "spread": Figure(unit="px²")}

    def count(self, truth):
        """Nothing in particular."""
        return {"n": 1}

    def score(self, counts):
        """Of two classes."""
        return {"class-away-cat": 3.0, "class-away-background": 0.5, "spread": 2.0}


def test_exact_names_win_and_then_the_longest_beginning():
    metrics = [Boundary(), BoundaryIoU(), Distance(), PerClass()]
    assert figure_of(metrics, "boundary-iou") == Figure()
    assert figure_of(metrics, "boundary") == Figure(lower_is_better=True)
    assert figure_of(metrics, "boundary-worst") == Figure(lower_is_better=True)
    assert figure_of(metrics, "distance") == PX
    assert figure_of(metrics, "distance-relative") == Figure(lower_is_better=True)
    assert figure_of(metrics, "class-away-cat") == PX
    assert figure_of(metrics, "class-away-background") == Figure()
    assert metric_of(metrics, "spread") == PerClass()
    assert metric_of(metrics, "iou") is None
    assert metric_of([*metrics, IoU], "iou") is IoU


def test_beginnings_do_not_depend_on_the_order_of_metrics():
    class BoundaryF1(Boundary):
        """Declares nothing either."""

        name = "boundary-f1"
        lower_is_better = False

    for metrics in ([Boundary, BoundaryF1], [BoundaryF1, Boundary]):
        assert not figure_of(metrics, "boundary-f1").lower_is_better
        assert not figure_of(metrics, "boundary-f1-cat").lower_is_better
        assert figure_of(metrics, "boundary-f2").lower_is_better


def test_a_metric_that_declares_nothing_tells_of_all_that_it_gives():
    assert figure_of([Boundary()], "something-else") == Figure(lower_is_better=True)
    assert figure_of([Boundary(), IoU()], "something-else") == Figure()
    assert figure_of([], "something-else") == Figure()


def test_figures_of_a_base_with_another_name_stay_the_base_s():
    class Renamed(PerClass):
        """As a variant of a metric is made."""

        name = "renamed"
        lower_is_better = True

    assert metric_of([Renamed], "class-away-cat") is None
    assert figure_of([Renamed], "renamed-cat") == Figure(lower_is_better=True)


def test_an_option_may_be_called_figures():
    with pytest.warns(UserWarning, match="figures"):

        class Digits(Boundary):
            """Its option hides what the kind declares."""

            name = "digits"
            figures: int = 3

    assert figure_of([Digits()], "digits") == Figure(lower_is_better=True)


@pytest.mark.parametrize(
    ("figures", "sentence"),
    [
        (["away"], r"Away.figures should map names to segkit.Figure, but is \['away'\]"),
        ({"away": True}, r"that end in \*, to segkit.Figure, but has 'away': True"),
        ({"*-away": Figure()}, r"that end in \*, to segkit.Figure, but has '\*-away'"),
        ({3: Figure()}, "but has 3: Figure"),
    ],
)  # fmt: skip
def test_figures_that_are_none_are_refused_as_the_class_is_defined(figures, sentence):
    with pytest.raises(PluginError, match=sentence):
        type("Away", (Metric,), {"name": "away", "figures": figures, "__module__": __name__})


def test_a_figure_refuses_parts_of_another_type():
    with pytest.raises(BadValueError, match="lower_is_better should be True or False, not 'px'"):
        Figure("px")
    with pytest.raises(BadValueError, match="unit should be a text such as 'px', not 3"):
        Figure(unit=3)


# ---- who takes their word ---------------------------------------------------------------------


def lines(iou, away=1.0):
    """Three images, counted by boundary-iou and by boundary."""
    return {
        f"i{i}": ResultLine(
            name=f"i{i}",
            status="ok",
            counts={
                "boundary-iou": {"boundary-iou": iou, "images": 1},
                "boundary": {"sum": away, "images": 1},
            },
        )
        for i in range(3)
    }


@pytest.mark.parametrize("metrics", [(Boundary(), BoundaryIoU()), (BoundaryIoU(), Boundary())])
def test_a_third_party_s_name_turns_no_order_round(metrics):
    results = {"worse": lines(0.2), "better": lines(0.9)}
    board = make_leaderboard(results, dict.fromkeys(results, metrics), sort_by="boundary-iou")
    assert board.higher_is_better
    assert [row.recipe for row in board.rows] == ["better", "worse"]
    assert board.figures == {
        "boundary-iou": Figure(),
        "boundary": Figure(lower_is_better=True),
        "boundary-worst": Figure(lower_is_better=True),
    }
    results = {"far": lines(0.5, 9.0), "near": lines(0.5, 2.0)}
    board = make_leaderboard(results, dict.fromkeys(results, metrics), sort_by="boundary-worst")
    assert not board.higher_is_better
    assert [row.recipe for row in board.rows] == ["near", "far"]


def test_nor_that_of_robustness():
    made = plan([Squares(), Bright(), Peak(), Flood(), Best(), Paint(), Boundary(), BoundaryIoU()])
    results = {"r": lines(0.5)}
    for figure, higher in (("boundary-iou", True), ("boundary", False), ("boundary-worst", False)):
        robustness = make_robustness(results, {"r": made}, (), 1, figure=figure)
        assert robustness.higher_is_better is higher


def test_only_figures_that_a_metric_claims_can_sort():
    plans = {"r": plan([Squares(), Bright(), Peak(), Flood(), Best(), Paint(), IoU(), PerClass()])}
    for name in ("iou", "spread", "class-away-dog"):
        check_figure(plans, name)
    with pytest.raises(UsageError) as error:
        check_figure(plans, "iou-cat")
    assert str(error.value) == (
        "--sort iou-cat: none of the metrics gives it; there is iou, class-away-*, "
        "class-away-background, spread"
    )
    check_figure({"r": plan([Squares(), Bright(), Peak(), Boundary()])}, "boundary-worst")


def test_the_summary_tells_what_each_figure_is(tmp_path):
    steps = [Squares(), Bright(), Peak(), Flood(), Best(), Paint(), IoU(), Distance(), PerClass()]
    summary = run({"r": plan(steps)}, tmp_path / "o")["r"]
    assert list(summary["figures"]) == list(summary["scores"])
    assert summary["figures"] == {
        "iou": asdict(Figure()),
        "distance": asdict(PX),
        "distance-relative": asdict(Figure(lower_is_better=True)),
        "class-away-cat": asdict(PX),
        "class-away-background": asdict(Figure()),
        "spread": asdict(Figure(unit="px²")),
    }
    written = json.loads((tmp_path / "o" / "summary.json").read_text())
    assert written["figures"] == summary["figures"]
