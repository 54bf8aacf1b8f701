"""The cards of a report, there without a script: what they say of masks, and their order."""

from __future__ import annotations

import pytest
from report_toys import NASTY, Page, line, picture, write_run

from segkit.reporting import write_report


def mask(score, name=None, pixels=9):
    return {"name": name, "score": score, "prompt": 0, "pixels": pixels}


def page_of(folder, lines, **more):
    write_run(folder, lines, **more)
    for one in lines:
        picture(folder, "overlay", one["name"])
    return Page(write_report(folder))


def test_cards_say_what_was_found_and_stand_the_least_sure_first(tmp_path):
    lines = [
        line("sure", masks=[mask(0.934, "tabby")]),
        line("unsure", masks=[mask(0.31, "tabby")]),
        line("several", masks=[mask(0.9, "cat"), mask(0.5, "dog"), mask(0.8, "cat")]),
        line("nothing"),
        line("blank", masks=[mask(0.99, "cat", pixels=0)]),
        line("failed", status="failed", error="it is torn"),
        line("nameless", masks=[mask(1.004), mask(0.6)]),
    ]
    page = page_of(tmp_path, lines)
    assert page.cards == [*("nothing", "blank", "unsure", "several", "nameless", "sure", "failed")]
    found = {name: by[0]["found"] for name, by in page.images.items()}
    assert found == {
        "sure": "tabby 0.93",
        "unsure": "tabby 0.31",
        "several": "cat ×2, dog 0.50–0.90",
        "nothing": "no mask",
        "blank": "no mask",
        "failed": "",
        "nameless": "mask ×2 0.60–1.00",
    }
    sure = {name: by[0]["sure"] for name, by in page.images.items()}
    assert sure["several"] == 0.5
    assert (sure["nothing"], sure["failed"]) == (0, None)
    assert all(text in page.text for text in found.values())
    assert "lowest mask score first" in page.text


def test_many_classes_are_counted(tmp_path):
    masks = [mask(0.5, name) for name in ("ant", "bee", "cat", "dog", "emu")]
    page = page_of(tmp_path, [line("zoo", masks=masks)])
    assert "ant, bee, cat, 2 more 0.50" in page.text


def test_with_truth_the_worst_stands_first(tmp_path):
    scores = {"a": (0.9, 0.2), "b": (0.1, 0.9), "c": (0.5, 0.5)}
    lines = [
        line(name, scores={"iou": iou}, masks=[mask(score, "cat")])
        for name, (iou, score) in scores.items()
    ]
    page = page_of(tmp_path, lines)
    assert page.cards == ["b", "c", "a"]
    assert "b iou 0.100 cat 0.90" in page.text


def test_a_figure_of_which_less_is_better_stands_the_other_way(tmp_path):
    lines = [line(name, scores={"distance": d}) for name, d in (("a", 3.0), ("b", 9.0))]
    figures = {"distance": {"lower_is_better": True, "unit": "px"}}
    page = page_of(tmp_path, lines, summary={"scores": {"distance": 6.0}, "figures": figures})
    assert page.cards == ["b", "a"]


def test_a_run_without_masks_says_nothing_of_them(tmp_path):
    page = page_of(tmp_path, [line("a"), line("b")])
    assert page.cards == ["a", "b"]
    assert "mask" not in page.images["a"][0]["found"]
    assert "mask score first" not in page.text


def test_that_all_images_are_empty_is_known_by_the_summary(tmp_path):
    page = page_of(tmp_path, [line("a")], summary={"scores": {}, "empty": 1})
    assert page.images["a"][0]["found"] == "no mask"


@pytest.mark.parametrize("name", [NASTY, "</ol><script>"])
def test_names_on_cards_are_text(tmp_path, name):
    page = page_of(tmp_path, [line("a", masks=[mask(0.5, name)])])
    assert f"{name} 0.50" in page.text
    assert name not in page.source


def test_a_card_leads_to_its_file(tmp_path):
    page = page_of(tmp_path, [line("a b")])
    (card,) = (attrs for attrs in page.all("a") if attrs.get("class") == "card")
    assert card["href"] == "overlay/a%20b.png"
    assert (tmp_path / "overlay/a b.png").is_file()


def test_cards_of_several_recipes_name_each(tmp_path):
    for recipe, score in (("one", 0.25), ("two", 0.75)):
        lines = [line("a", masks=[mask(score, "cat")])]
        folder = write_run(tmp_path / "recipes" / recipe, lines)
        picture(folder, "overlay", "a", colour=(99, int(99 * score), 9))
    page = Page(write_report(tmp_path))
    assert page.cards == ["a"]
    assert "one: cat 0.25 two: cat 0.75" in page.text
    labels = [attrs["alt"] for attrs in page.all("img")]
    assert labels == ["a: one", "a: two"]


# ---- judged masks -----------------------------------------------------------------------------


def test_what_a_judge_says_stands_in_place_of_scores_and_orders_the_cards(tmp_path):
    qualities = {"a": 0.9, "b": 0.2, "c": 0.6}
    lines = [
        line(name, quality=q, masks=[{**mask(1 - q, "cat"), "quality": q}])
        for name, q in qualities.items()
    ]
    page = page_of(tmp_path, lines)
    assert page.cards == ["b", "c", "a"]
    assert "cat, quality 0.20" in page.text
    assert "lowest quality first" in page.text
    assert "a judge's estimates of the masks' IoU" in page.text
    assert "How many images have which quality" in page.text
    assert any(attrs.get("class") == "threshold" for attrs in page.all("path"))
    assert page.images["b"][0]["sure"] == 0.2


def test_without_a_judge_nothing_is_said_of_quality(tmp_path):
    page = page_of(tmp_path, [line("a", masks=[mask(0.5)])])
    assert "quality" not in page.text.lower().replace("quality under", "")
    assert not any(attrs.get("class") == "threshold" for attrs in page.all("path"))
