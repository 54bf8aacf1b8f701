"""The workflows on GitHub: pinned, with few rights, and of what the project really has."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted(GITHUB.glob("workflows/*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(path):
    return [step for job in read(path)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_and_rights_are_few(path):
    """By commit, with the release in a comment, and one commit for each action in all workflows."""
    text = path.read_text(encoding="utf-8")
    uses = re.findall(r"uses: (.*)", text)
    assert uses
    for used in uses:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used), used
    document = read(path)
    assert document["permissions"] == {"contents": "read"}
    for name, job in document["jobs"].items():
        assert job["timeout-minutes"] <= 360, name
        rights = {right for right, how in job.get("permissions", {}).items() if how == "write"}
        assert rights <= {"attestations", "contents", "id-token", "pages"}
    # What comes from outside is handed to the shell as a variable, never as a part of the script.
    for step in steps(path):
        assert "${{ github." not in step.get("run", ""), step


def test_each_action_has_one_pin():
    pins: dict[str, set[str]] = {}
    for path in WORKFLOWS:
        for name, pin in re.findall(r"uses: (\S+)@(.*)", path.read_text(encoding="utf-8")):
            pins.setdefault(name, set()).add(pin)
    assert {name: found for name, found in pins.items() if len(found) > 1} == {}
    assert len(pins) > 5


def test_the_tests_run_on_every_python_that_is_promised():
    matrix = read(GITHUB / "workflows/tests.yml")["jobs"]["default"]["strategy"]["matrix"]
    assert f">={matrix['python'][0]}" == PROJECT["project"]["requires-python"]
    assert len(matrix["python"]) == 4
    assert {name.partition("-")[0] for name in matrix["system"]} == {"ubuntu", "macos", "windows"}


def test_extras_markers_and_folders_exist():
    text = "\n".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    extras = set(re.findall(r'-e "\.\[([\w,-]+)\]"', text))
    assert extras
    assert extras <= PROJECT["project"]["optional-dependencies"].keys()
    known = {m.partition(":")[0] for m in PROJECT["tool"]["pytest"]["ini_options"]["markers"]}
    named = set(re.findall(r"pytest.* -m (\w+)", text))
    named |= {*read(GITHUB / "workflows/tests.yml")["jobs"]["more"]["strategy"]["matrix"]["marker"]}
    assert named <= known
    for folder in re.findall(r"tests/\w+", text):
        assert (ROOT / folder).is_dir(), folder


def test_the_docs_site_is_built_with_what_the_extra_names():
    (line,) = [s["run"] for s in steps(GITHUB / "workflows/docs.yml") if "mkdocs>" in str(s)]
    for wanted in PROJECT["project"]["optional-dependencies"]["docs"]:
        assert f'"{wanted}' in line


def test_the_bug_form_asks_for_the_doctors_report():
    body = read(GITHUB / "ISSUE_TEMPLATE/bug.yml")["body"]
    (doctor,) = [field for field in body if field.get("id") == "doctor"]
    assert "segkit doctor --json" in doctor["attributes"]["label"]
    assert doctor["validations"]["required"]


@pytest.mark.parametrize("page", sorted(GITHUB.glob("*.md")), ids=lambda page: page.stem)
def test_links_of_its_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert target.startswith("https:") or (page.parent / target).is_file(), target


def test_commits_are_checked_as_the_tests_check():
    hooks = read(ROOT / ".pre-commit-config.yaml")["repos"][0]["hooks"]
    names = {hook["name"] for hook in hooks}
    assert names == {"ruff check", "ruff format", "mypy", "import-linter"}
    assert all(hook["language"] == "system" for hook in hooks)
