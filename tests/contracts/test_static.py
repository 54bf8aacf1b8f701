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
    readme, checks = (ROOT / "README.md").read_text(), (ROOT / ".ci/run").read_text()
    commands = re.findall(r"```bash\n(.*?)\n```", readme, re.DOTALL)
    (taken,) = re.findall(r"readme=\$\(grep -x '(.*)' README\.md\)", checks)
    assert '\nPIP_COMPILE=0 bash -c "$readme"\n' in checks
    assert re.findall(rf"^{taken}$", readme, re.MULTILINE) == [commands[1]]


def test_nothing_lies_outside_of_the_project():
    """What tests, benchmarks and scripts read is a part of it, or named by a variable (`data`)."""
    outside = re.compile(r"""shared["']?\s*/\s*["']?data\b|parents\[([3-9]|\d\d)\]""")
    files = [p for p in listed() if p.suffix in {".py", ".toml", ".md", ".sh"}]
    assert len(files) > 400
    found = [str(p) for p in files if outside.search((ROOT / p).read_text(encoding="utf-8"))]
    assert found == []


def listed():
    """The project's files, below its root."""
    done = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    return [Path(line) for line in done.stdout.splitlines()]


def test_the_top_level_holds_what_it_should():
    top = {path.parts[0] for path in listed()}
    allowed = {"pyproject.toml", "core", "plugins", "tests", "docs", "examples", "README.md"}
    assert {t for t in top if not t.startswith(".")} <= allowed | {"LICENSE"}


def test_shipped_weights_stay_small():
    weights = list((ROOT / "plugins").rglob("*.safetensors"))
    assert weights
    assert sum(w.stat().st_size for w in weights) <= 15_000_000
    for path in weights:
        assert path.with_suffix(".md").is_file(), f"{path.name} has no card"
