"""What is said of other people's plugins names the file and line of the fault."""

from __future__ import annotations

import re

import pytest
from catalog_toys import GOOD
from test_faulty_plugins import FAULTY
from toys import Flood, Squares, walk

from segkit import Catalog, PluginError, plan
from segkit.plugins.steps import Prompter


def line_with(source, words):
    """The number of the one line with these words."""
    (number,) = [n for n, text in enumerate(source.splitlines(), 1) if words in text]
    return number


def error_of(source, how, install):
    install("mine", {"faulty": "mine_package.steps"}, {
        "mine_package/__init__.py": "", "mine_package/steps.py": source,
    })  # fmt: skip
    step = Catalog().load("prompt", "faulty")(how=how)
    return next(walk({"run": plan([Squares(count=2), step, Flood()])})).error


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("exit", "raise SystemExit(0)"),
        ("value", 'points=[(float("nan"), 0)]'),
        ("type", "def __call__(self, image: Image) -> Prompts"),  # the work that made it
    ],
)
def test_a_failing_call_names_file_and_line(install, how, words):
    line = line_with(FAULTY, words)
    assert error_of(FAULTY, how, install).endswith(f" (mine_package/steps.py, line {line})")


def test_what_is_about_a_picture_is_no_fault(install):
    assert error_of(FAULTY, "picture", install) == "square-0: is no photograph"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("x = 1\n\n1 / 0\n", "1 / 0"),
        (GOOD.replace("return [Nothing]", "return 1 / 0"), "1 / 0"),
        (GOOD.replace("return [Nothing]", "return [Nothing()]"), "@hookimpl"),
        (GOOD.replace(" -> Prompts", ""), "def __call__"),
    ],
)
def test_a_file_that_cannot_be_loaded_names_its_line(tmp_path, source, words):
    file = tmp_path / "mine.py"
    file.write_text(source)
    with pytest.raises(PluginError) as error:
        Catalog(files=(file,)).load("prompt", "nothing")
    place = re.search(r"\((\S+), line (\d+)\)$", str(error.value))
    assert place is not None, str(error.value)
    assert place[1] == "mine.py"
    assert int(place[2]) == line_with(source, words)


def test_segkits_own_plugins_name_no_place():
    class Own(Prompter):
        name = "own"

        def __call__(self, image):
            raise KeyError("lost")

    Own.__call__.__annotations__["return"] = Own.gives[0]
    (outcome, *_) = walk({"run": plan([Squares(count=1), Own(), Flood()])})
    assert outcome.error == "prompt 'own' raised KeyError: 'lost'"
