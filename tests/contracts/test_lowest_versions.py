"""The lowest versions that pyproject.toml promises work: installed, and a part of the tests run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

EXTRAS = "coco,hf,opencv,testing,train,yolo"
"""Those that bring steps; what only tests need is taken as it comes."""

FILES = (
    *("tests/core/test_runner.py", "tests/core/test_comparison.py"),
    *("tests/core/test_train_loop.py", "tests/core/test_image_files.py"),
    *("tests/core/test_report.py", "tests/cli/test_run.py", "tests/cli/test_train.py"),
    *("tests/plugins/test_gradcam_targets.py", "tests/plugins/test_sam.py"),
    *("tests/plugins/test_grabcut.py", "tests/plugins/test_yolo.py"),
    *("tests/plugins/test_dpt.py", "tests/plugins/test_coco.py"),
    "tests/contracts/test_conformance.py",
)
"""What goes through every library."""


def test_every_requirement_has_one_lower_bound():
    """What is not ours: without a bound nobody could say what was tested."""
    extras = PROJECT["optional-dependencies"].values()
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]
    needed = [r for r in map(Requirement, lines) if r.name != PROJECT["name"]]
    assert len(needed) > 40
    for requirement in needed:
        operators = [specifier.operator for specifier in requirement.specifier]
        assert operators.count(">=") == 1, requirement


def test_no_datasets_that_runs_a_data_sets_script():
    """Before 4 `load_dataset` ran Python files that lay in a folder."""
    (line,) = PROJECT["optional-dependencies"]["datasets"]
    assert not Requirement(line).specifier.contains("3.6.0")


@pytest.fixture
def uv():
    found = shutil.which("uv", path=Path(sys.executable).parent) or shutil.which("uv")
    return found or pytest.skip("needs uv, which resolves to the lowest versions: [test-all]")


@pytest.mark.slow
def test_the_lowest_versions_pass(uv, tmp_path):
    """In a fresh environment of this Python, each direct requirement at its lower bound."""

    def passed(*command):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-4000:]
        return done.stdout

    passed(uv, "venv", "--python", sys.executable, str(tmp_path / "env"))
    inside = "Scripts/python.exe" if sys.platform == "win32" else "bin/python"
    python = tmp_path / "env" / inside
    lowest = ("--resolution", "lowest-direct")
    passed(uv, "pip", "install", "--python", str(python), *lowest, f"{ROOT}[{EXTRAS}]")
    # Libraries of that age warn of what has been mended since.
    tests = passed(
        *(str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "default", *FILES)
    )
    assert " passed" in tests
