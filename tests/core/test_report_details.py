"""What a report says of a run: tables of classes, figures with their units, the recipe in words."""

from __future__ import annotations

import pytest
from report_toys import NASTY, Page, line, write_run

from segkit.reporting import figure, recipe_in_words, write_report
from segkit.running.recipe import Recipe

CLASS_ROWS = [
    {"id": 0, "name": "background", "iou": 0.75, "dice": 0.8571, "pixels": 12345, "found": 9},
    {"id": 1, "name": NASTY, "iou": 0.25, "dice": 0.4, "pixels": 4},
]
MATRIX = {"names": ["background", NASTY, "other"], "pixels": [[9, 0, 3], [1, 3, 0]]}


def details_page(folder, details):
    summary = {"scores": {"iou": 0.5}, "details": details}
    return Page(write_report(write_run(folder, [line("a")], summary=summary)))


def test_a_table_per_class_where_a_metric_tells_one(tmp_path):
    details = {
        "counts": {"voc-miou": {"0/0": 9}},
        "voc-miou": {"classes": CLASS_ROWS, "confusion": MATRIX},
    }
    page = details_page(tmp_path, details)
    assert "Per class" in page.text
    assert "class IoU Dice pixels found background 0.7500 0.8571 12,345 9" in page.text
    assert f"{NASTY} 0.2500 0.4000 4 –" in page.text
    assert f"truth pixels background {NASTY} other" in page.text
    assert f"background 12 0.750 0 0.250 {NASTY} 4 0.250 0.750 0" in page.text
    assert NASTY not in page.source
    rows, matrix = page.all("details")[:2]
    assert "open" in rows
    assert "open" not in matrix


def test_many_classes_are_folded_away(tmp_path):
    for count, unfolded in ((25, True), (26, False)):
        rows = [{"name": f"class {i}", "iou": 0.5} for i in range(count)]
        page = details_page(tmp_path / str(count), {"mine": {"classes": rows}})
        assert ("open" in page.all("details")[0]) == unfolded


def test_one_table_alone(tmp_path):
    rows = details_page(tmp_path / "rows", {"mine": {"classes": CLASS_ROWS}})
    assert "Per class" in rows.text
    assert "Confusion" not in rows.text
    matrix = details_page(tmp_path / "matrix", {"mine": {"confusion": MATRIX}})
    assert "Per class" not in matrix.text
    assert "Confusion matrix" in matrix.text


def test_a_class_without_pixels_has_no_row_in_the_matrix(tmp_path):
    matrix = {"names": ["a", "b"], "pixels": [[0, 0], [1, 3]]}
    page = details_page(tmp_path, {"mine": {"confusion": matrix}})
    assert "truth pixels a b b 4 0.250 0.750" in page.text


@pytest.mark.parametrize(
    "details",
    [
        None, [], {"m": None}, {"m": {}}, {"m": {"classes": [{"iou": 1}]}}, {"m": {"classes": 3}},
        {"m": {"confusion": {"names": ["a"], "pixels": [[1, 2]]}}},
        {"m": {"confusion": {"names": ["a"], "pixels": [[1], [2]]}}},
        {"m": {"confusion": {"pixels": [["x"]]}}},
    ],
)  # fmt: skip
def test_details_that_are_no_tables_are_left_out(tmp_path, details):
    page = details_page(tmp_path, details)
    assert "Per class" not in page.text
    assert "Confusion" not in page.text
    assert "iou 0.5000" in page.text


def test_scores_are_explained_by_their_metric(tmp_path):
    recipe = '[[metric]]\nname = "iou"\n[[metric]]\nname = "hit-rate"\n'
    recipe += '[[metric]]\nname = "gone:strange"\n'
    scores = {"iou": 0.5, "hit-rate": 1.0, "hit-rate-background": 0.25, "strange": 12345.678}
    folder = write_run(tmp_path, [line("a")], summary={"scores": scores}, recipe=recipe)
    text = Page(write_report(folder)).text
    assert "iou 0.5000 Intersection over union of the foreground" in text
    assert "hit-rate-background 0.2500 Share of foreground points on the object" in text
    assert "strange 12,345.68" in text


def test_a_recipe_in_words():
    recipe = Recipe.from_dict(
        {
            "dataset": [{"name": "files"}],
            "prompt": [{"name": "topk"}, {"name": "boxes", "merge": True}, {"name": "maxmin"}],
            "segmenter": [{"name": "sam"}],
            "transform": [],
            "metric": [{"name": "iou"}],
        }
    )
    assert recipe_in_words(recipe) == "files → topk + boxes, maxmin → sam"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.86123, "0.8612"), (1, "1.0000"), (87.4321, "87.43"), (float("nan"), "–"),
     (float("inf"), "inf"), (-0.5, "-0.5000")],
)  # fmt: skip
def test_figures(value, text):
    assert figure(value) == text


def test_a_figure_has_its_unit():
    assert figure(12.987, "px") == "12.99 px"
    assert figure(0.0359) == "0.0359"


AWAY = {
    "scores": {"away": 12.5, "iou": 0.5},
    "figures": {
        "away": {"lower_is_better": True, "unit": "mm"},
        "iou": {"lower_is_better": False, "unit": ""},
    },
}


def test_a_page_reads_figures_as_the_summary_declares_them(tmp_path):
    rows = [line(f"i{n}", scores={"away": n + 0.5}) for n in range(3)]
    page = Page(write_report(write_run(tmp_path, rows, summary=AWAY)))
    assert "away 12.50 mm" in page.text
    assert page.json("data")["up"] is False
    assert page.json("data")["images"][1]["by"][0]["scores"] == "away 1.50 mm"


@pytest.mark.parametrize("summary", [None, {"scores": {"distance": 12.5}}])
def test_without_them_the_metrics_are_asked(tmp_path, summary):
    """Of a run that goes on, and in a folder of an older version."""
    rows = [line("a", scores={"distance": 12.5, "gone": 3.0})]
    recipe = '[[metric]]\nname = "distance"\n\n[[metric]]\nname = "gone"\n'
    page = Page(write_report(write_run(tmp_path, rows, summary=summary, recipe=recipe)))
    assert page.json("data")["images"][0]["by"][0]["scores"] == "distance 12.50 px · gone 3.00"
    assert page.json("data")["up"] is False


def test_the_steps_show_their_options(tmp_path):
    recipe = """
[[dataset]]
name = "files"
paths = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]

[[saliency]]
name = "gradcam"
layer = ""
mean = []
some_flag = true
zero = 0
"""
    text = Page(write_report(write_run(tmp_path, [line("a")], recipe=recipe))).text
    assert "files paths a.jpg, b.jpg, c.jpg, … (4)" in text
    assert "saliency gradcam some-flag yes zero 0" in text
    assert "layer" not in text.partition("Recipe")[0]
