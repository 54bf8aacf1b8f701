"""The page of a sweep and of a diagnosis: leaderboard, waterfalls, histograms."""

from __future__ import annotations

import json
import re
from itertools import combinations, pairwise

import numpy as np
import pytest
from report_toys import NASTY, Page, line, write_run, write_strip
from sweep_toys import BOARD, DIAGNOSIS, estimate, write_sweep

from segkit.comparing.records import RecipeLosses
from segkit.reporting import charts, write_report
from segkit.reporting import pictures as pictures_module
from segkit.reporting.chain import common_chain

# ---- sweeps and diagnoses ---------------------------------------------------------------------


def test_a_sweep_has_its_leaderboard(tmp_path):
    page = Page(write_report(write_sweep(tmp_path, recipe='[[dataset]]\nname = "shapes"\n')))
    assert "2 recipes compared" in page.text
    assert "3 images" in page.text
    assert "grid comes first, with iou 0.8000. grid beats topk by 0.100" in page.text
    assert "shapes > gradcam > … > sam" in page.text  # once, not in every row
    assert "1 grid centroid-grid 0.8000 0.7900 to 0.8100" in page.text
    assert "better 0.300 12.50 px" in page.text  # against the next, seconds, the other figures
    assert "box : box needs 'heatmap', and nothing makes one" in page.text
    assert "36 pairs were compared" in page.text
    assert "grid beats topk by a tenth" in page.text
    assert page.json("data")["recipes"] == ["grid", "topk"]  # the best first
    assert "segkit run --recipe recipes/NAME/recipe.toml" in page.text


def test_a_leaderboard_tells_what_its_recipes_share_once(tmp_path):
    page = Page(write_report(write_sweep(tmp_path)))
    assert page.text.count("shapes > gradcam") == 1
    assert page.text.count("topk – 0.7000") == 0  # the name says it


def test_a_missing_figure_is_a_dash(tmp_path):
    """One that is null, and one that a recipe does not have at all."""
    board = json.loads(json.dumps(BOARD))
    board["rows"][0]["scores"]["clicks"] = estimate(3)
    page = Page(write_report(write_sweep(tmp_path, board=board)))
    assert "2 topk 0.7000 0.6900 to 0.7100 – 0.000 – –" in page.text


def test_every_figure_stands_with_its_interval(tmp_path):
    board = json.loads(json.dumps(BOARD))
    board["rows"][0]["scores"] |= {f"f{n}": estimate(n / 100) for n in range(20)}
    page = Page(write_report(write_sweep(tmp_path, board=board)))
    assert [h.get("data-kind") for h in page.all("th") if h.get("data-kind")][:11] == (
        ["number", "text", *["number"] * 8, "text"]  # six beside the first one, then a table of all
    )
    assert page.text.count("0.1800 to 0.2000") == 1  # f19, with its interval among all of them


def test_seeds_are_told_with_their_spread(tmp_path):
    board = json.loads(json.dumps(BOARD)) | {"seeds": [0, 1, 2]}
    figures = {"0": 0.78, "1": 0.8, "2": 0.82}
    board["rows"][0]["seeds"] = {"iou": {"deviation": 0.02, "figures": figures}}
    page = Page(write_report(write_sweep(tmp_path, board=board)))
    assert "over the seeds 0, 1, 2, with the standard deviation between them" in page.text
    assert "1 grid centroid-grid 0.8000 ± 0.0200 0.7900 to 0.8100" in page.text
    assert "All below it is of the seed 0" in page.text


@pytest.mark.parametrize(
    ("words", "chain", "own"),
    [
        ([], "", []),
        (["a > b > c"], "a > b > c", [""]),
        (["a > b > c", "a > x > c"], "a > … > c", ["b", "x"]),
        (["a > b > c > d", "a > x > c > y"], "a > … > c > …", ["b > d", "x > y"]),
        (["a > b > c", "a > c"], "a > … > c", ["b", ""]),
        (["a > a", "a > a > a"], "a > a > …", ["", "a"]),
        (["a > b", "x > y"], "", ["a > b", "x > y"]),
        (["a", "b > c"], "", ["a", "b > c"]),
        (["a > b", ""], "a > b", ["", ""]),
    ],
)
def test_the_chain_that_recipes_have_in_common(words, chain, own):
    assert common_chain(words) == (chain, own)


def test_intervals_are_drawn_on_one_scale(tmp_path):
    page = Page(write_report(write_sweep(tmp_path)))
    drawn = [attrs["d"] for attrs in page.all("path") if attrs.get("class") == "whisker"]
    first, other = drawn  # iou of grid and of topk
    assert first.startswith("M83.33 7H100.0")  # 0.79 … 0.81 on 0.69 … 0.81
    assert other.startswith("M0.0 7H16.67")
    points = [attrs["d"] for attrs in page.all("path") if attrs.get("class") == "point"]
    assert points[0] == "M91.67 7h0"


def test_figures_sort_by_their_value(tmp_path):
    page = Page(write_report(write_sweep(tmp_path)))
    heads = [h for h in page.all("th") if h.get("data-kind")]
    first = {"scope": "col", "class": "number", "data-kind": "number", "aria-sort": "ascending"}
    assert heads[0] == first
    assert [h.get("data-first") for h in heads[2:5]] == ["descending", None, "ascending"]
    cells = [float(c["data-value"]) for c in page.all("td") if "first" in c.get("class", "")]
    assert cells == [0.8, 0.7]


@pytest.mark.parametrize(
    "board",
    [{"rows": [{"recipe": "grid"}]}, {"rows": []}, {"rows": [{"recipe": "gone", "scores": {}}]},
     {"rows": [{"recipe": "grid", "scores": {"iou": {"mean": None, "low": None}}}]}, None],
)  # fmt: skip
def test_a_leaderboard_may_lack_almost_everything(tmp_path, board):
    text = Page(write_report(write_sweep(tmp_path, board=board))).text
    assert "compared" in text
    assert ("comes first" in text) == bool(board and board["rows"])
    assert "damaged" not in text


@pytest.mark.parametrize("board", ["", "{", "[]", "{}", '{"rows": 3}', '{"rows": [{}]}'])
def test_a_damaged_leaderboard_or_diagnosis_is_named(tmp_path, board):
    text = Page(write_report(write_sweep(tmp_path, board=board, diagnosis=board))).text
    assert "leaderboard.json is damaged and is left out." in text
    assert "diagnosis.json is damaged and is left out." in text
    assert "2 recipes compared" in text


def test_names_in_a_sweep_are_escaped(tmp_path):
    board = json.loads(json.dumps(BOARD).replace('"grid"', json.dumps(NASTY)))
    board["skipped"][0]["reason"] = NASTY
    board["rows"][0] |= {"verdict": NASTY, "words": NASTY, "options": {NASTY: NASTY}}
    diagnosis = json.loads(json.dumps(DIAGNOSIS).replace('"grid"', json.dumps(NASTY)))
    diagnosis["recipes"][0]["reading"] = diagnosis["rows"][0]["name"] = NASTY
    page = Page(write_report(write_sweep(tmp_path, board=board, diagnosis=diagnosis)))
    assert page.text.count(NASTY) > 9
    assert NASTY not in page.source


def test_an_unfinished_sweep_says_what_it_waits_for(tmp_path):
    folder = write_sweep(tmp_path, board=None)
    (folder / "recipes" / "topk" / "summary.json").unlink()
    text = Page(write_report(folder)).text
    assert "Not finished: topk." in text
    assert "segkit sweep … --resume" in text


def test_a_sentence_of_several_recipes_stands_once(tmp_path):
    folder = write_sweep(tmp_path)
    torn = line("x", status="failed", error="'x' is torn")
    write_run(folder / "recipes" / "grid", [torn, line("y", status="failed", error="too dark")])
    write_run(folder / "recipes" / "topk", [torn, line("y")])
    text = Page(write_report(folder)).text
    assert "2 images in" in text
    assert "2 failed" in text
    assert "x all 'x' is torn y grid too dark" in text


def test_recipes_share_their_pictures(tmp_path):
    folder = write_sweep(tmp_path)
    for recipe, colour in (("grid", (200, 30, 30)), ("topk", (30, 30, 200))):
        rows = [line("a", files=["overlay/a.jpg"], scores={"iou": 0.5})]
        write_run(folder / "recipes" / recipe, rows)
        panels = [("photo", (9, 99, 9)), ("mask", colour), ("truth", (99, 9, 99))]
        write_strip(folder / "recipes" / recipe / "overlay" / "a.jpg", panels)
    page = Page(write_report(folder))
    grid, topk = (by["tiles"] for by in page.images["a"])
    assert [title for title, *_ in grid] == ["photo", "mask", "truth"]
    assert [a == b for a, b in zip(grid, topk, strict=True)] == [True, False, True]
    assert len(page.embedded) == 4
    links = [by["link"] for by in page.images["a"]]
    assert links == ["recipes/grid/overlay/a.jpg", "recipes/topk/overlay/a.jpg"]


def test_a_diagnosis_has_waterfalls_figures_and_the_worst_images(tmp_path):
    page = Page(write_report(write_sweep(tmp_path, diagnosis=DIAGNOSIS)))
    assert "Where the IoU was lost" in page.text
    assert "grid loses most to the saliency. Try another layer." in page.text
    (label,) = (a["aria-label"] for a in page.all("svg") if "perfect" in a.get("aria-label", ""))
    assert label == (
        "grid: perfect 1.000, segmenter 0.050, prompt: placement -0.020, "
        "prompt: saliency 0.120, selection 0.050, IoU 0.800"
    )
    figures = "0.8000 0.0500 0.0300 to 0.0700 0.1000 0.1200 -0.0200 0.0500 0.8500 0.9500 –"
    assert f"grid {figures}" in page.text
    worst = [a["data-open"] for a in page.all("button") if a.get("data-open")]
    assert worst == ["i0", "i1", "i2"]
    gains = [a for a in page.all("rect") if "gain" in (a.get("class") or "")]
    assert [a["class"] for a in gains] == ["placement gain"]


def test_a_diagnosis_of_judged_masks_says_how_far_to_trust_them(tmp_path):
    order = {"by": "quality", "rank_correlation": 0.75, "auc": None, "iou": [0.5, 0.75]}
    trust = {
        "recipe": "grid",
        "images": 4,
        "error": 0.125,
        "bins": [{"low": 0.5, "high": 0.6, "images": 4, "quality": 0.55, "iou": 0.5}],
        "shares": [1.0, 0.5],
        "orders": [order, {**order, "by": "probability"}, {**order, "by": "truth"}],
        "reading": f"grid is off {NASTY}.",
    }
    page = Page(write_report(write_sweep(tmp_path, diagnosis={**DIAGNOSIS, "trust": [trust]})))
    assert "How far to trust the judge" in page.text
    assert trust["reading"] in page.text
    assert (
        "recipe by rank correlation AUC 100 % 50 % grid judge 0.7500 – 0.5000 0.7500" in page.text
    )
    assert "grid class probability" in page.text
    assert "grid 0.5 0.6 4 0.5500 0.5000" in page.text
    unjudged = {**trust, "orders": trust["orders"][1:]}
    page = Page(
        write_report(write_sweep(tmp_path / "b", diagnosis={**DIAGNOSIS, "trust": [unjudged]}))
    )
    assert "trust the judge" not in page.text


def test_a_diagnosis_alone_has_a_page(tmp_path):
    (tmp_path / "diagnosis.json").write_text(json.dumps(DIAGNOSIS))
    page = Page(write_report(tmp_path))
    assert "1 recipe compared" in page.text
    assert "grid loses most to the saliency." in page.text


def losses(**parts):
    found = {**dict.fromkeys(("selection", "prompt", "segmenter", "saliency", "placement"), 0.0)}
    found |= parts
    return RecipeLosses(recipe="a", iou=1 - sum(found.values()) + found["prompt"], **found)


@pytest.mark.parametrize(
    "parts",
    [{}, {"segmenter": 0.3, "selection": 0.1}, {"segmenter": 1.0}, {"segmenter": -0.2},
     {"segmenter": 0.5, "placement": -0.25, "saliency": 0.125, "selection": 0.25}],
)  # fmt: skip
def test_each_bar_of_a_waterfall_begins_where_the_last_one_ended(parts):
    found = losses(**parts)
    scale = charts.waterfall_scale([found], 300)
    bars = charts.waterfall(found, scale)
    assert [b.part for b in bars] == [
        "whole", "segmenter", "placement", "saliency", "selection", "iou",
    ]  # fmt: skip
    for before, bar in pairwise(bars[:-1]):
        ends = {round(bar.x, 1), round(bar.x + bar.width, 1)}
        assert ends == {round(before.end, 1), round(bar.end, 1)}
    assert bars[-2].end == pytest.approx(bars[-1].end, abs=0.02)
    assert all(b.x >= 0 and b.x + b.width <= 300.01 for b in bars)


def test_small_losses_are_drawn_large():
    near = charts.waterfall_scale([losses(segmenter=0.05)], 300)
    assert (near.low, near.high) == (0.9, 1.0)
    far = charts.waterfall_scale([losses(segmenter=0.05), losses(segmenter=0.6)], 300)
    assert (far.low, far.high) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0123, "+0.012"), (-0.05, "−0.050"), (0, "0.000"), (-0.0004, "0.000")]
)
def test_changes_bear_their_sign(value, text):
    assert charts.signed(value) == text


def test_a_histogram_counts_every_image():
    values = [0.0, 0.049, 0.05, 0.5, 0.96, 1.0, 1.0, float("nan")]
    (one, other), low, high = charts.histograms([("a", values), ("none", []), ("b", [0.5])])
    assert (low, high) == (0.0, 1.0)
    assert [bar.label for bar in one.bars] == [
        "0.00 to 0.05: 2 images", "0.05 to 0.10: 1 image", "0.50 to 0.55: 1 image",
        "0.95 to 1.00: 3 images",
    ]  # fmt: skip
    assert one.count == 7
    assert one.quantiles == pytest.approx(np.quantile(values[:-1], [0, 0.25, 0.5, 0.75, 1]))
    assert one.mean == pytest.approx(np.mean(values[:-1]))
    assert other.bars[0].height == 44  # all of its images
    assert one.bars[-1].height == pytest.approx(44 * 3 / 7, abs=0.01)


def test_a_histogram_of_large_figures_has_their_scale():
    (one,), low, high = charts.histograms([("a", [3.0, 12.0, 40.0])])
    assert (low, high) == (3.0, 40.0)
    assert 0 < one.median_x < 100
    (same,), low, high = charts.histograms([("a", [7.0, 7.0])])
    assert (low, high) == (6.5, 7.5)
    assert [(bar.x, bar.label) for bar in same.bars] == [(150.5, "7.00 to 7.05: 2 images")]
    assert same.median_x == 150


def test_values_at_the_end_of_a_bin_count_for_the_next_one():
    (one,), *_ = charts.histograms([("a", [i / 20 for i in range(20)])])
    assert [bar.label for bar in one.bars] == [
        f"{i / 20:.2f} to {(i + 1) / 20:.2f}: 1 image" for i in range(20)
    ]


@pytest.mark.parametrize("count", [1, 1000])
def test_pages_of_any_size_stay_small(count):
    widths = [pictures_module.panel_width(count * (4 + recipes)) for recipes in range(1, 20)]
    assert widths == sorted(widths, reverse=True)
    assert all(176 <= width <= 480 for width in widths)


# ---- many recipes ------------------------------------------------------------------------------


def many_recipes(folder, count):
    """A sweep of so many recipes on two images, with each pair of them compared."""
    names = [f"recipe-{place:03d}" for place in range(count)]
    rows = [BOARD["rows"][0] | {"recipe": name, "words": name, "options": {}} for name in names]
    pairs = [
        {"better": a, "worse": b, "metric": "iou", "difference": 0.1, "low": 0.0, "high": 0.2}
        for a, b in combinations(names, 2)
    ]
    for name in names:
        lines = [line(image, scores={"iou": 0.5}) for image in ("one", "two")]
        write_run(folder / "recipes" / name, lines)
    board = BOARD | {"rows": rows, "pairs": pairs}
    (folder / "leaderboard.json").write_text(json.dumps(board), encoding="utf-8")
    return names


def test_the_page_stays_small_with_200_recipes(tmp_path):
    names = many_recipes(tmp_path, 200)
    page = Page(write_report(tmp_path))
    assert len(page.source) < 1_500_000
    assert "500 of the 19900 pairs, each compared on the same images; leaderboard.json" in page.text
    told = re.findall(r"(recipe-\d+) (recipe-\d+) 0\.1000", page.text)
    assert len(told) == len({*told}) == 500
    assert {("recipe-000", other) for other in names[1:]} <= {*told}
    assert {*pairwise(names)} <= {*told}
    assert ("recipe-198", "recipe-099") not in told
    assert ("recipe-100", "recipe-198") not in told
    assert page.json("data")["recipes"] == names[:50]
    assert "of the first 50 of 200 recipes" in page.text
    board = next(part for part in page.source.split("<section") if 'id="leaderboard"' in part)
    assert all(f'<th scope="row" data-value="{name}">' in board for name in names)


def test_a_few_recipes_have_all_their_pairs(tmp_path):
    names = many_recipes(tmp_path, 5)
    page = Page(write_report(tmp_path))
    assert "All 10 pairs, each compared on the same images" in page.text
    assert page.json("data")["recipes"] == names
    assert "recipes; those of the others" not in page.text
