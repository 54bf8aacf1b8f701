"""By which protocol figures of classes are counted, and that others are not compared with them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from pydantic import PrivateAttr
from toys import Best, Bright, Flood, Paint, Peak, Squares

from segkit import BadValueError, Dataset, Figure, UsageError, plan, run
from segkit.comparing.leaderboard import make_leaderboard
from segkit.comparing.sweep import Shown, sweep_plans
from segkit.reporting import write_report
from segkit.reporting.paper import write_tables
from segkit.running.options import RunOptions
from segkit.running.protocols import (
    agreement,
    caption,
    difference,
    goes_on,
    in_words,
    read_protocols,
)
from segkit.running.records import Protocol, RunSummary
from segkit_plugins.metric.class_iou import ClassIoU
from segkit_plugins.metric.iou import IoU
from segkit_plugins.metric.voc_miou import VocMeanIoU
from segkit_plugins.saliency.gradcam import GradCAM

SET = Protocol(asked="data set", classes=["cat", "dog"], background=True)
MANY = SET.model_copy(update={"classes": [f"class {i}" for i in range(20)]})
METRICS = (IoU(), VocMeanIoU(), ClassIoU())


class Named(Squares):
    """The squares, with more classes than one."""

    name = "named"
    _more: tuple[str, ...] = PrivateAttr(())

    @classmethod
    def of(cls, *more):
        data = cls(count=3)
        data._more = more
        return data

    @property
    def classes(self):
        return dict(enumerate(("square", *self._more), 1))


class Told(Bright):
    """Brightness, by one who is told the classes of each image."""

    name = "told"

    @property
    def reads_truth(self):
        return True


def recipe(data: Dataset | None = None, saliency=None, dx=0, metrics=METRICS):
    steps = (saliency or Bright(), Peak(dx=dx), Flood(), Best(), Paint())
    return plan([data or Squares(count=3), *steps, *metrics])


def sheet(path):
    with path.open(encoding="utf-8") as file:
        return [*csv.DictReader(file)]


def test_a_protocol_in_words():
    assert (
        in_words(SET) == "the data set's 2 classes (cat, dog) and background, at the truth's size"
    )
    listed = SET.model_copy(update={"asked": "list", "background": False})
    assert in_words(listed) == (
        "2 classes of --classes (cat, dog) without background, at the truth's size"
    )
    told = MANY.model_copy(update={"asked": "image", "resolution": "448 px"})
    assert in_words(told) == "each image's true classes (of 20) and background, at 448 px"
    assert caption({"miou": SET, "voc-miou": SET, "class-iou": listed}) == (
        f"miou, voc-miou: {in_words(SET)}; class-iou: {in_words(listed)}"
    )
    assert caption({"miou": SET, "class-iou": listed}, ["miou"]) == f"miou: {in_words(SET)}"
    other = MANY.model_copy(update={"classes": [*MANY.classes[:19], "zebra"]})
    assert difference(MANY, other) == "the data set's 20 classes, zebra among them"
    turned = MANY.model_copy(update={"classes": MANY.classes[::-1]})
    assert difference(MANY, turned) == "the data set's 20 classes, in another order"
    assert difference(MANY, told) == (
        "the data set's 20 classes against each image's true classes (of 20), at the truth's size "
        "against at 448 px"
    )


def test_what_was_counted_goes_on_only_where_classes_come_behind():
    grown = SET.model_copy(update={"classes": ["cat", "dog", "cow"]})
    assert goes_on(SET, SET)
    assert goes_on(SET, grown)
    assert not goes_on(grown, SET)
    assert not goes_on(SET, SET.model_copy(update={"classes": ["dog", "cat"]}))
    assert not goes_on(SET, SET.model_copy(update={"asked": "image"}))


def test_rows_agree_or_not():
    figures = {
        "iou": Figure(),
        "miou": Figure(background=True),
        "class-iou": Figure(background=False),
    }
    alone = SET.model_copy(update={"background": False})
    image = SET.model_copy(update={"asked": "image"})
    found = agreement(
        {
            "a": {"miou": SET, "class-iou": alone},
            "b": {"miou": image, "class-iou": alone},
            "c": {},
            "without class maps": {},
        },
        {**dict.fromkeys("abc", figures), "without class maps": {"iou": Figure()}},
    )
    assert found.protocols == {"class-iou": alone}
    assert [*found.refused] == ["miou"]
    assert found.unknown == ("c",)
    assert found.notes == [
        f"miou: not compared, for 'a' and 'b' were counted differently ({difference(SET, image)}); "
        "each recipe's own is in its summary.json",
        "how the classes of 'c' were counted is not known, for an earlier segkit did not note it; "
        "run it again to be sure that it compares",
    ]


def test_a_summary_says_how_its_figures_were_counted(tmp_path):
    summary = run({"r": recipe()}, tmp_path / "own")["r"]
    own = {"asked": "data set", "classes": ["square"], "background": True, "resolution": "truth"}
    assert summary["protocol"] == {"voc-miou": own, "class-iou": {**own, "background": False}}
    assert (
        json.loads((tmp_path / "own/summary.json").read_text())["protocol"] == summary["protocol"]
    )
    run({"r": recipe()}, tmp_path / "list", classes=["box", "square"])
    listed = read_protocols(tmp_path / "list")["voc-miou"]
    assert (listed.asked, listed.classes) == ("list", ["box", "square"])
    run({"r": recipe(saliency=Told())}, tmp_path / "told")
    assert read_protocols(tmp_path / "told")["class-iou"].asked == "image"
    assert "protocol" not in run({"r": recipe(metrics=(IoU(),))}, tmp_path / "plain")["r"]


def test_who_is_told_the_classes_of_an_image():
    assert GradCAM(target="truth").reads_truth
    assert not GradCAM(target="top:3").reads_truth
    assert not Bright().reads_truth


def test_a_leaderboard_has_the_protocol_beside_its_figures(tmp_path):
    board = sweep_plans({"a": recipe(), "b": recipe(dx=3)}, tmp_path / "s", RunOptions())
    assert {*board.protocol} == {"voc-miou", "class-iou"}
    assert not board.notes
    line = caption(board.protocol)
    assert json.loads((tmp_path / "s/leaderboard.json").read_text())["protocol"]["voc-miou"] == (
        board.protocol["voc-miou"].to_dict()
    )
    rows = sheet(tmp_path / "s/leaderboard.csv")
    assert {row["protocol"] for row in rows} == {line}
    page = write_report(tmp_path / "s").read_text(encoding="utf-8").replace("&#39;", "'")
    assert f"{line}." in page
    write_tables(tmp_path / "s", columns=["iou", "voc-miou"])
    words = in_words(board.protocol["voc-miou"])
    for name in ("leaderboard.md", "leaderboard.tex"):
        assert f" Protocol of voc-miou: {words}." in (tmp_path / "s/tables" / name).read_text(
            encoding="utf-8"
        )
    assert "class-iou" not in (tmp_path / "s/tables/leaderboard.md").read_text(encoding="utf-8")
    one = tmp_path / "s/recipes/a"
    assert caption(read_protocols(one)) in write_report(one).read_text("utf-8").replace(
        "&#39;", "'"
    )
    write_tables(one)
    scores = sheet(one / "tables/scores.csv")
    assert {row["figure"]: row["protocol"] for row in scores}["iou"] == ""
    assert words in (one / "tables/scores.csv").read_text(encoding="utf-8")


def test_recipes_that_are_told_otherwise_are_not_compared_by_class(tmp_path):
    plans = {"told": recipe(saliency=Told()), "own": recipe(dx=3)}
    board = sweep_plans(plans, tmp_path / "s")
    assert [*board.rows[0].scores] == ["iou"]
    assert [*board.figures] == ["iou"]
    (note,) = board.notes
    assert note == (
        "voc-miou, class-iou: not compared, for 'told' and 'own' were counted differently (each "
        "image's true classes (of 1: square) against the data set's 1 class (square)); each "
        "recipe's own is in its summary.json"
    )
    assert read_protocols(tmp_path / "s/recipes/told")["voc-miou"].asked == "image"
    assert "not compared" in write_report(tmp_path / "s").read_text(encoding="utf-8")


def test_they_are_refused_before_anything_is_run_where_that_should_order_them(tmp_path):
    plans = {"told": recipe(saliency=Told()), "own": recipe(dx=3)}
    with pytest.raises(UsageError) as error:
        sweep_plans(plans, tmp_path / "s", shown=Shown("voc-miou"))
    assert str(error.value) == (
        "--sort voc-miou: 'told' is told which classes each image shows and 'own' is not, so they "
        "do not compare by voc-miou; sort by another figure, such as iou, or run them apart"
    )
    assert not (tmp_path / "s").exists()
    assert sweep_plans(plans, tmp_path / "s", shown=Shown("iou")).metric == "iou"


def test_rows_of_other_classes_are_refused(tmp_path):
    for name, data in {"a": Named.of(), "b": Named.of("disc")}.items():
        run({"r": recipe(data)}, tmp_path / name)
    results = {
        name: {line["name"]: _line(line) for line in _lines(tmp_path / name)} for name in "ab"
    }
    protocols = {name: read_protocols(tmp_path / name) for name in "ab"}
    with pytest.raises(UsageError) as error:
        make_leaderboard(
            results, dict.fromkeys("ab", METRICS), sort_by="class-iou", protocols=protocols
        )
    assert str(error.value) == (
        "recipes cannot be compared by class-iou, for 'a' and 'b' were counted differently (the "
        "data set's 1 class (square) against the data set's 2 classes (square, disc)); sort by "
        "another figure, such as iou, or count them alike (segkit score, or a run anew)"
    )


def _lines(folder: Path):
    return [json.loads(text) for text in (folder / "results.jsonl").read_text().splitlines()]


def _line(line):
    from segkit.running.records import ResultLine

    return ResultLine.model_validate(line)


def test_a_recipe_of_an_earlier_segkit_is_compared_and_named(tmp_path):
    plans = {"old": recipe(), "new": recipe(dx=3)}
    sweep_plans(plans, tmp_path / "s")
    path = tmp_path / "s/recipes/old/summary.json"
    summary = json.loads(path.read_text())
    del summary["protocol"]
    for figure in summary["figures"].values():
        del figure["background"], figure["resolution"]
    path.write_text(json.dumps(summary))
    assert RunSummary.model_validate(summary).protocol == {}
    results = {
        name: {ln["name"]: _line(ln) for ln in _lines(tmp_path / f"s/recipes/{name}")}
        for name in plans
    }
    board = make_leaderboard(
        results,
        dict.fromkeys(plans, METRICS),
        sort_by="voc-miou",
        protocols={name: read_protocols(tmp_path / "s/recipes" / name) for name in plans},
    )
    assert board.metric == "voc-miou"
    assert len(board.pairs) == 1
    (note,) = board.notes
    assert note.startswith("how the classes of 'old' were counted is not known")
    assert {*board.protocol} == {"voc-miou", "class-iou"}


def test_a_figure_says_whether_background_is_a_class():
    with pytest.raises(
        BadValueError, match=r"Figure.background should be True, False or None, not 1"
    ):
        Figure(background=1)
    with pytest.raises(BadValueError, match=r"Figure.resolution should be a text such as '448 px'"):
        Figure(resolution=448)
