"""Deliberately wrong plugins (the modules in `wrong`): the kit says of each what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from segkit.hookspecs import REGISTRATION

WRONG = Path(__file__).parent / "wrong"
KINDS = {hook: kind for kind, hook in REGISTRATION.items()}

FOUND = {
    "asks-nothing": (
        "no_prompt_is_empty",
        "prompt 'asks-nothing' makes prompt 0 without point, box or mask on the picture 'no-heat'; "
        "leave it out, or return Prompts()",
    ),
}
"""Plugin to the test that finds the fault, and what it says."""


def kind_of(path: Path) -> str:
    """The kind of the plugin in a module, by its hook."""
    text = path.read_text(encoding="utf-8")
    return next(kind for hook, kind in KINDS.items() if f"def {hook}(" in text)


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> dict[str, dict[str, str]]:
    """The kit run on all of them by pytest: plugin to the tests that fail, and what they say."""
    folder = tmp_path_factory.mktemp("wrong")
    metadata = folder / "segkit_wrong-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: segkit-wrong\nVersion: 1.0\n")
    points, tests = [], ["from segkit.testing import Conformance"]
    for path in sorted(WRONG.glob("*.py")):
        name = path.stem.replace("_", "-")
        entry = "well-named" if name == "misnamed" else name
        points += [f"[segkit.{kind_of(path)}]", f"{entry} = {path.stem}"]
        tests += [f"class Test_{path.stem}(Conformance):", f"    plugin = '{entry}'"]
    (metadata / "entry_points.txt").write_text("\n".join(points) + "\n")
    (folder / "test_wrong.py").write_text("\n".join(tests) + "\n")
    report = folder / "report.xml"
    path = os.pathsep.join([str(folder), str(WRONG), os.environ.get("PYTHONPATH", "")])
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-c", os.devnull]
    command = [sys.executable, "-m", "pytest", *options, f"--junitxml={report}", "test_wrong.py"]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stdout + done.stderr
    found: dict[str, dict[str, str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        plugin = case.attrib["classname"].rpartition("Test_")[2].replace("_", "-")
        tests_of = found.setdefault(plugin, {})
        for problem in [*case.findall("failure"), *case.findall("error")]:
            name = case.attrib["name"].removeprefix("test_")
            tests_of[name] = (problem.text or "").strip()
    return found


def test_there_are_more_than_twenty_and_all_of_them_are_tried(said):
    modules = {path.stem.replace("_", "-") for path in WRONG.glob("*.py")}
    assert len(modules) > 20
    assert set(said) == modules == set(FOUND)


@pytest.mark.parametrize("plugin", FOUND)
def test_it_is_caught_and_the_message_says_what_is_wrong(said, plugin):
    test, sentence = FOUND[plugin]
    problems = said[plugin]
    own = [text for name, text in problems.items() if name.partition("[")[0] == test]
    assert own, f"not found by {test}, but by {problems}"
    assert sentence in own


@pytest.mark.parametrize("plugin", FOUND)
def test_every_message_is_one_paragraph_about_the_plugin(said, plugin):
    for name, text in said[plugin].items():
        assert "\n" not in text, name
        assert "Traceback" not in text
        assert f"'{plugin}'" in text or "well-named" in text, text
