"""Style, types and layers hold for the whole tree."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "core", "plugins", "tests", "examples", "docs"],
        ["ruff", "format", "--check", "core", "plugins", "tests", "examples", "docs"],
        ["mypy"],
        ["importlinter"],
    ],
    ids=["ruff", "format", "mypy", "import-linter"],
)
def test_the_checks_pass(command):
    if command == ["importlinter"]:
        command = ["importlinter.cli", "lint"]
        code = "from importlinter.cli import lint_imports_command as c; c()"
        arguments = [sys.executable, "-c", code]
    else:
        arguments = [sys.executable, "-m", *command]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ci_runs_the_readmes_second_command():
    commands = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert commands[1].strip() == (ROOT / ".ci/run").read_text().strip().splitlines()[-1]


def test_the_top_level_holds_what_it_should():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    top = {line.split("/")[0] for line in listed.stdout.splitlines()}
    allowed = {"pyproject.toml", "core", "plugins", "tests", "docs", "examples", "README.md"}
    assert {t for t in top if not t.startswith(".")} <= allowed | {"LICENSE"}


def test_shipped_weights_stay_small():
    weights = list((ROOT / "plugins").rglob("*.safetensors"))
    assert weights
    assert sum(w.stat().st_size for w in weights) <= 15_000_000
    for path in weights:
        assert path.with_suffix(".md").is_file(), f"{path.name} has no card"
