"""`segkit new-plugin --from FILE`: the package of a file that runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def project(folder: Path) -> dict:
    """The `[project]` table."""
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]


IDEA = '''\
"""Click on the middle."""

import json

import numpy as np
from segkit import Image, Metric, Prompt, Prompter, Prompts, hookimpl


class Middle(Prompter):
    """The middle of the image."""

    name = "middle"
    shift: float = 0.0
    """Pixels to the right."""

    def __call__(self, image: Image) -> Prompts:
        import skimage.util

        h, w = image.size
        return Prompts((Prompt(points=[(min(w / 2 + self.shift, w - 1), h / 2)]),))


class Left(Middle):
    """The same, further left."""

    name = "left"


@hookimpl
def segkit_prompters() -> list[type[Prompter]]:
    return [Middle, Left]
'''


def test_a_file_becomes_a_package(segkit, tmp_path):
    (tmp_path / "idea.py").write_text(IDEA)
    done = segkit("new-plugin", "prompt", "left", "--from", "idea.py", "--author", "Ada")
    assert (done.code, done.err) == (0, "")
    folder = tmp_path / "segkit-left"
    assert (folder / "src/segkit_left/__init__.py").read_text() == IDEA
    about = project(folder)
    assert about["description"] == "Click on the middle."
    assert about["dependencies"][1:] == ["numpy", "scikit-image", "pydantic>=2.7"]
    assert about["entry-points"]["segkit.prompt"] == dict.fromkeys(
        ("left", "middle"), "segkit_left"
    )
    tests = (folder / "tests/test_left.py").read_text()
    assert 'plugin = "left"' in tests
    assert 'plugin = "middle"' in tests
    compile(tests, "test_left.py", "exec")
    readme = (folder / "README.md").read_text()
    assert "Click on the middle. A prompt plugin for segkit." in readme
    developing = (folder / "DEVELOPING.md").read_text()
    assert "--left.shift" in developing
    assert "With the example" not in developing


@pytest.mark.parametrize(
    ("arguments", "source", "sentence"),
    [
        (
            ("prompt", "middel"),
            IDEA,
            "--from idea.py offers no prompt plugin 'middel'; did you mean 'segkit new-plugin "
            "prompt middle --from idea.py'?",
        ),
        (
            ("metric", "sum-of"),
            IDEA,
            "--from idea.py offers no metric plugin 'sum-of'; it offers the prompt 'left', the "
            "prompt 'middle'",
        ),
        (
            ("prompt", "middle"),
            "import helper\n" + IDEA,
            "--from idea.py imports 'helper', which stands beside it and would not come along; put "
            "it into the same file, or into the package by hand",
        ),
        (
            ("prompt", "middle"),
            "1 / 0\n",
            "'idea' from idea.py could not be loaded: ZeroDivisionError: division by zero "
            "(idea.py, line 1)",
        ),
    ],
)
def test_a_file_that_makes_no_package_is_refused(
    segkit, tmp_path, monkeypatch, arguments, source, sentence
):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "helper.py").write_text("")
    (tmp_path / "idea.py").write_text(source)
    done = segkit("new-plugin", *arguments, "--from", "idea.py")
    assert (done.code, done.err) == (2, f"Error: {sentence}\n")
    assert not (tmp_path / f"segkit-{arguments[1]}").exists()
