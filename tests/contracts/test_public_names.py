"""What plugins and scripts rely on does not change by accident."""

from __future__ import annotations

import difflib
import importlib.util
import re
import typing
from pathlib import Path

import segkit
from segkit.plugins import hookspecs

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

ADVICE = """
Public names, hooks or kinds are not those of tests/contracts/public_names.txt (see above).
If that is meant: run `python tests/contracts/public_names.py --write`, and write a line under
"Changes" in docs/stability.md; if plugins see the change, raise API_VERSION (plugins/hookspecs.py).
If something is taken away, deprecate it first (segkit/deprecations.py)."""


def _written() -> str:
    spec = importlib.util.spec_from_file_location("public_names", HERE / "public_names.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.public_names()


def test_public_names_are_frozen():
    before = (HERE / "public_names.txt").read_text().splitlines()
    now = _written().splitlines()
    changes = list(difflib.unified_diff(before, now, "before", "now", lineterm="", n=0))
    assert not changes, "\n".join([*changes, ADVICE])


def test_the_frozen_text_tells_what_matters():
    text = (HERE / "public_names.txt").read_text()
    for line in (
        "segkit_before_step(step: Step, image: Image) -> None",
        "prompt: group segkit.prompt, hook segkit_prompters",
        "  __call__(image, heatmap, classes, rng) -> Prompts",
        "  batch(self, inputs: Sequence[Mapping[str, Any]]) -> list[Any]",
        "class BadValueError(SegkitError, ValueError)",
    ):
        assert line in text.splitlines()


def test_names_are_listed_in_one_place():
    text = Path(segkit.__file__).read_text()
    for name in segkit.__all__:
        thing = getattr(segkit, name)
        # What type checkers see is what there is; they see all of the interfaces' module.
        star = f"from segkit.{segkit._MODULE_OF[name]} import *  # noqa: F403"
        assert f" import {name} as {name}\n" in text or star in text, name
        if isinstance(thing, type) and typing.get_origin(thing) is None:
            assert thing.__module__ == f"segkit.{segkit._MODULE_OF[name]}"


def test_the_api_version_has_its_line_in_the_changes():
    text = (ROOT / "docs/stability.md").read_text().partition("## Changes")[2]
    versions = [int(v) for v in re.findall(r"^### Plugin API (\d+)", text, re.MULTILINE)]
    assert versions == list(range(hookspecs.API_VERSION, 0, -1))
    assert 1 <= hookspecs.OLDEST_API <= hookspecs.API_VERSION == segkit.API_VERSION
