"""Widgets made of the fields of steps, and what stands in them as the options of a step."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, PositiveFloat, PositiveInt

from segkit import Catalog, Prompter, Prompts, UsageError
from segkit.kinds import SWEPT
from segkit_ui.playground.fields import options_of, value_of, widgets_of, written


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Odd(Prompter):
    """Options of every sort."""

    name = "odd"

    share: float = Field(0.25, ge=0, le=1)
    """A share."""
    level: Annotated[float, Field(gt=0, lt=1)] = 0.5
    tiny: Annotated[float, Field(ge=0, le=1)] = 0.002
    k: PositiveInt = 3
    wide: PositiveFloat = 5.0
    even: int = Field(4, ge=0, le=10, multiple_of=2)
    free: float = 0.5
    most: Annotated[int, Field(gt=0)] | None = None
    way: Literal["near", "far", 3] = "near"
    maybe: Literal["a", "b"] | None = None
    colour: Colour = Colour.RED
    deep: bool = False
    word: str = "cat"
    table: str | None = None
    file: Path
    several: tuple[str, ...] = ()
    sizes: tuple[float, ...] = (0.5, 1.0)
    pairs: tuple[tuple[int, int], ...] = ((1, 2),)
    either: int | Literal["auto"] = "auto"

    def __call__(self) -> Prompts:
        return Prompts()


WIDGETS = {widget.name: widget for widget in widgets_of(Odd)}


@pytest.mark.parametrize(
    ("name", "sort", "ends", "step", "opens"),
    [
        ("share", "slider", (0, 1), 0.01, False),
        ("level", "slider", (0.01, 0.99), 0.01, False),
        ("tiny", "slider", (0, 1), 0.001, False),
        ("k", "slider", (1, 12), 1, True),
        ("wide", "slider", (0.1, 20), 0.1, True),
        ("even", "slider", (0, 10), 2, False),
        ("free", "number", (None, None), 0.01, False),
        ("most", "number", (1, 50), 1, True),
    ],
)
def test_a_bounded_number_is_a_slider_with_fitting_steps(name, sort, ends, step, opens):
    widget = WIDGETS[name]
    assert widget.sort == sort
    assert (widget.low, widget.high) == (ends if ends[0] is None else pytest.approx(ends))
    assert widget.step == pytest.approx(step)
    assert widget.open is opens


@pytest.mark.parametrize(
    ("name", "sort", "choices"),
    [
        ("way", "choice", ("near", "far", "3")),
        ("maybe", "choice", ("", "a", "b")),
        ("colour", "choice", ("red", "blue")),
        ("deep", "tick", ()),
        ("word", "text", ()),
        ("table", "text", ()),
        ("file", "text", ()),
        ("several", "text", ()),
        ("either", "text", ()),
    ],
)
def test_other_types_are_choices_ticks_and_texts(name, sort, choices):
    assert (WIDGETS[name].sort, WIDGETS[name].choices) == (sort, choices)


def test_a_widget_says_what_its_option_is():
    assert WIDGETS["share"].help == "A share."
    assert WIDGETS["share"].default == "0.25"
    assert WIDGETS["colour"].default == "red"
    assert WIDGETS["sizes"].default == "0.5, 1"
    assert WIDGETS["file"].required
    assert WIDGETS["file"].path
    assert not WIDGETS["word"].path
    assert WIDGETS["several"].several
    assert (WIDGETS["table"].optional, WIDGETS["table"].default) == (True, "")


def odd(**texts):
    return Odd(**options_of(Odd, {"file": "f.txt", **texts}))


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("share", "0.5", 0.5),
        ("k", "7", 7),
        ("most", "", None),
        ("most", "4", 4),
        ("way", "far", "far"),
        ("maybe", "", None),
        ("maybe", "b", "b"),
        ("colour", "blue", Colour.BLUE),
        ("deep", "on", True),
        ("deep", "", False),
        ("word", "", ""),
        ("table", "coco", "coco"),
        ("several", "cat, big dog", ("cat", "big dog")),
        ("several", "a\\, b, c", ("a, b", "c")),
        ("sizes", "1, 2.5", (1.0, 2.5)),
        ("pairs", "[[3, 4], [5, 6]]", ((3, 4), (5, 6))),
        ("either", "12", 12),
        ("either", "auto", "auto"),
    ],
)
def test_what_stands_in_a_widget_becomes_the_option(name, text, value):
    assert getattr(odd(**{name: text}), name) == value


def test_what_is_as_it_was_is_no_option_of_the_recipe():
    texts = {widget.name: widget.default for widget in widgets_of(Odd)}
    assert options_of(Odd, {**texts, "file": "f.txt"}) == {"file": "f.txt"}


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"k": ""}, "k of odd is empty; enter a number"),
        ({"file": " "}, "prompt 'odd' needs a value for file; fill it in"),
        ({"nothing": "1"}, "odd has no option 'nothing'; load the page again"),
        ({"k": "0"}, "--odd.k"),
        ({"k": "many"}, "--odd.k"),
        ({"colour": "green"}, "--odd.colour"),
    ],
)
def test_what_does_not_fit_is_a_sentence(texts, said):
    with pytest.raises(UsageError, match=said):
        odd(**texts)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\\\0"), min_size=1)))
def test_lists_of_texts_come_back(texts):
    texts = [text.strip() for text in texts if text.strip()[:1] not in ("", "[", "{")]
    widget = WIDGETS["several"]
    assert value_of(Odd, widget, written(tuple(texts))) == tuple(texts)


def test_every_option_of_every_plugin_has_a_widget_whose_start_is_its_default():
    catalog = Catalog(third_party=False)
    count = 0
    for kind in SWEPT:
        for entry in catalog.entries(kind):
            step = catalog.load_entry(entry)
            widgets = widgets_of(step)
            assert [w.name for w in widgets] == [*step.model_fields]
            for widget in widgets:
                count += 1
                if widget.required:
                    continue
                value = value_of(step, widget, widget.default)
                made = step(**{w.name: "x" for w in widgets if w.required} | {widget.name: value})
                default = step.model_fields[widget.name].get_default()
                assert getattr(made, widget.name) == default, (step.name, widget)
                assert widget.help, (step.name, widget.name)
                if widget.sort == "slider":
                    places = (float(widget.default) - widget.low) / widget.step
                    assert widget.low <= float(widget.default) <= widget.high
                    assert np.isclose(places, round(places), atol=0.02) or widget.step == 1e-4
    assert count > 100
