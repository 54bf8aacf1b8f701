"""What plugins raise and answer: told in a sentence, never the end of Python, always JSON."""

from __future__ import annotations

import asyncio
import json
from fractions import Fraction

import numpy as np
import pytest
import torch
from toys import Bright, Flood, Paint, Peak, Right, Squares, walk

from segkit import Counts, Heatmap, Labels, PluginError, Prompt, Scores, plan
from segkit.errors import BadValueError, PluginExitError, error_line, plugin_code
from segkit.plugins.contract import (
    blamed,
    classes_of,
    details_of,
    item_of,
    names_of,
    numbers,
    scores_of,
)
from segkit.running.session import run

# ---- what is raised ----------------------------------------------------------------------------


class Silent(Exception):
    """An error whose text fails."""

    def __str__(self):
        raise SystemExit(0)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (KeyError("lost"), "KeyError: 'lost'"),
        (ValueError(), "ValueError: no message"),
        (RuntimeError("\n  first\nsecond"), "RuntimeError: first"),
        (SystemExit(0), "SystemExit: 0"),
        (PluginExitError("SystemExit: 0"), "SystemExit: 0"),
        (Silent(), "Silent: no message"),
    ],
)
def test_an_error_is_told_in_one_line(error, line):
    assert error_line(error) == line


@pytest.mark.parametrize("error", [SystemExit(0), GeneratorExit(), asyncio.CancelledError()])
def test_what_would_end_python_is_an_exception(error):
    with pytest.raises(PluginExitError) as told, plugin_code():
        raise error
    assert told.value.__cause__ is error
    with pytest.raises(PluginError, match=r"^dataset 'squares' raised "), blamed(Squares()):
        raise error


@pytest.mark.parametrize("error", [KeyError("lost"), StopIteration(), KeyboardInterrupt()])
def test_errors_and_ctrl_c_stay_what_they_are(error):
    with pytest.raises(type(error)) as told, plugin_code():
        raise error
    assert told.value is error


def test_ctrl_c_is_blamed_on_nobody():
    with pytest.raises(KeyboardInterrupt), blamed(Squares()):
        raise KeyboardInterrupt


def test_a_walk_that_is_given_up_closes_its_steps_and_blames_nobody(recwarn):
    bright = Bright()
    steps = walk({"run": plan([Squares(), bright, Peak(), Flood(), Paint(), Right()])})
    next(steps)
    steps.close()
    assert bright._log.closed == 1
    assert not recwarn.list


# ---- what a data set says ----------------------------------------------------------------------


@pytest.mark.parametrize("name", [3, None, "", b"a"])
def test_images_are_named_by_texts(tmp_path, name):
    class Odd(Squares):
        name = "odd"

        @property
        def names(self):
            return ["a", name]

    with pytest.raises(PluginError) as told:
        run({"run": plan([Odd(), Bright()])}, tmp_path / "out")
    assert str(told.value) == f"dataset 'odd' should name images by texts, but has {name!r}"
    assert not (tmp_path / "out").exists()


def test_classes_of_numpys_numbers_are_numbers():
    class Odd(Squares):
        @property
        def classes(self):
            return {np.int64(1): np.str_("square")}

    assert json.dumps(classes_of(Odd())) == '{"1": "square"}'
    assert names_of(Odd(count=2)) == ["square-0", "square-1"]


@pytest.mark.parametrize("made", [None, 5, (1, 2, 3), "ab"])
def test_what_is_no_image_with_its_truth_is_that_images_failure(made):
    class Odd(Squares):
        name = "odd"

        def __getitem__(self, index):
            return super().__getitem__(index) if index else made

    with pytest.raises(PluginError, match=r"^dataset 'odd' (raised|should make an Image and a)"):
        item_of(Odd(), 0)
    errors = [outcome.error for outcome in walk({"run": plan([Odd(count=2), Bright()])})]
    assert errors[0].startswith("dataset 'odd' ")
    assert errors[1] is None


def test_a_truth_that_is_none_is_refused():
    class Odd(Squares):
        name = "odd"

        def __getitem__(self, index):
            image, truth = super().__getitem__(index)
            return image, truth.labels

    (outcome,) = walk({"run": plan([Odd(count=1), Bright()])})
    assert outcome.error == (
        "dataset 'odd' should make an Image and a Truth or None, but made a Labels"
    )


# ---- what a metric says ------------------------------------------------------------------------

NUMBERS = {
    "int": (3, 3),
    "bool": (True, 1),
    "int64": (np.ones(3, bool).sum(), 3),
    "float32": (np.float32(0.5), 0.5),
    "bool_": (np.bool_(True), 1),
    "longdouble": (np.longdouble(2.5), 2.5),
    "array": (np.array(3.0), 3.0),
    "tensor": (torch.tensor(3), 3),
    "learnt": (torch.tensor(0.5, requires_grad=True), 0.5),
    "fraction": (Fraction(1, 2), 0.5),
}
"""What is a number, and which."""

NONE = {
    "text": ("many", "a str"),
    "set": ({1}, "a set"),
    "none": (None, "None"),
    "several": (np.arange(3), "a ndarray"),
    "one": (np.ones(1), "a ndarray"),
    "complex": (np.complex128(1j), "a complex128"),
    "date": (np.datetime64("2024-01-01"), "a datetime64"),
    "nan": (float("nan"), "nan"),
    "infinite": (np.float32("-inf"), "-inf"),
    "huge": (10**5000, "too large a number"),
}
"""What is none, and what is said of it."""


class Counted(Right):
    """What it is given, as counts, scores or details."""

    name = "counted"
    where: str = "count"
    what: str = "int"

    def count(self, labels: Labels) -> Counts:
        return {"pixels": self._value("count", 1.0)}

    def score(self, counts: Counts) -> Scores:
        return {"counted": self._value("score", 1.0)}

    def details(self, counts, classes):
        return {"classes": [{"name": "square", "iou": self._value("details", 1.0)}]}

    def _value(self, where, otherwise):
        return {**NUMBERS, **NONE}[self.what][0] if where == self.where else otherwise


def counted(folder, **options):
    """A run's summary and lines."""
    steps = [Squares(count=2), Bright(), Peak(), Flood(), Paint(), Counted(**options)]
    summary = run({"run": plan(steps)}, folder)["run"]
    text = (folder / "results.jsonl").read_text()

    def refused(constant):
        raise AssertionError(f"{constant} is no JSON")

    return summary, [json.loads(line, parse_constant=refused) for line in text.splitlines()]


@pytest.mark.parametrize("what", NUMBERS)
def test_numbers_of_numpy_are_numbers(tmp_path, what):
    number = NUMBERS[what][1]
    _, lines = counted(tmp_path / "count", what=what)
    assert [line["counts"]["counted"] for line in lines] == [{"pixels": number}] * 2
    summary, lines = counted(tmp_path / "score", where="score", what=what)
    assert summary["scores"] == lines[0]["scores"] == {"counted": float(number)}
    summary, _ = counted(tmp_path / "details", where="details", what=what)
    assert summary["details"]["counted"]["classes"][0]["iou"] == number


@pytest.mark.parametrize("what", NONE)
@pytest.mark.parametrize(("where", "key"), [("count", "pixels"), ("score", "counted")])
def test_what_is_no_finite_number_is_that_images_failure(tmp_path, where, key, what):
    summary, lines = counted(tmp_path / "out", where=where, what=what)
    assert summary["failed"] == 2
    assert {line["error"] for line in lines} == {
        f"metric 'counted' should make {where}s that are finite numbers, but its '{key}' is "
        f"{NONE[what][1]}"
    }


@pytest.mark.parametrize("what", sorted(NONE.keys() - {"text", "none"}))
def test_details_that_json_cannot_hold_cost_only_themselves(tmp_path, what):
    with pytest.raises(PluginError) as told:
        counted(tmp_path / "out", where="details", what=what)
    assert str(told.value) == (
        "metric 'counted' should make details that JSON can hold, but its 'classes' holds "
        f"{NONE[what][1]}"
    )
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["scores"] == {"counted": 1.0}
    assert summary["details"].keys() == {"counts"}


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (5, "should make a dict of counts, but made a int"),
        (None, "should make a dict of counts, but made None"),
        ({1: 2.0}, "should give counts names, but one is called 1"),
        ({("a", 1): 2.0}, "should give counts names, but one is called ('a', 1)"),
    ],
)
def test_counts_are_a_dict_with_names(made, sentence):
    with pytest.raises(PluginError) as told:
        numbers(Counted(), "counts", made)
    assert str(told.value) == f"metric 'counted' {sentence}"


def test_a_comparison_takes_a_figure_that_is_none_as_missing():
    nan = Counted(where="score", what="nan")
    assert np.isnan(scores_of(nan, {"pixels": 1.0}, finite=False)["counted"])


def test_details_have_keys_of_text_and_no_cycle():
    class Odd(Counted):
        name = "odd"

        def details(self, counts, classes):
            return {np.int64(1): {2: (1, True, None, np.bool_(True))}}

    found = details_of(Odd(), {}, {})
    assert found == {"1": {"2": [1, True, None, True]}}
    assert json.loads(json.dumps(found)) == found

    class Round(Counted):
        name = "round"

        def details(self, counts, classes):
            made = {}
            made["itself"] = made
            return made

    with pytest.raises(PluginError, match="metric 'round' raised RecursionError: "):
        details_of(Round(), {}, {})


# ---- values ------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", [float("nan"), float("inf"), np.float32("nan")])
def test_scores_of_values_are_finite(score):
    with pytest.raises(BadValueError, match=r"^Prompt\.score should be finite, but is "):
        Prompt(points=[(0, 0)], score=score)
    with pytest.raises(BadValueError, match=r"^Heatmap\.score should be finite, but is "):
        Heatmap(np.zeros((2, 2)), score=score)


def test_a_heatmaps_class_is_a_text():
    with pytest.raises(BadValueError, match=r"^Heatmap\.name should be a string or None, but is 7"):
        Heatmap(np.zeros((2, 2)), name=7)
