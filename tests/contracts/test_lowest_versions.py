"""The lowest versions that pyproject.toml promises work: installed, and a part of the tests run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from lowest import PROJECT, ROOT, lowest, requirements
from packaging.requirements import Requirement

EXTRAS = ("coco", "hf", "opencv", "testing", "train", "yolo")
"""Those that bring steps; what only tests need is taken as it comes."""

FILES = (
    *(
        "tests/core/test_runner.py",
        "tests/core/test_comparison.py",
        "tests/core/test_train_loop.py",
    ),
    *("tests/core/test_image_files.py", "tests/core/test_report.py", "tests/cli/test_run.py"),
    *("tests/plugins/test_gradcam.py", "tests/plugins/test_sam.py", "tests/plugins/test_coco.py"),
    *("tests/plugins/test_grabcut.py", "tests/plugins/test_yolo.py", "tests/plugins/test_dpt.py"),
    "tests/contracts/test_conformance.py",
)
"""What goes through every library."""


def test_pins_are_the_lower_bounds():
    needed = map(Requirement, ["b>=1.2,<3", "A>=2; python_version >= '3'", "c>=1; os_name == 'x'"])
    assert lowest(needed) == ["A==2", "b==1.2"]
    pins = lowest(requirements(EXTRAS))
    assert "pluggy==1.7" in pins
    assert "hypothesis==6.100" in pins
    assert len(pins) > len(PROJECT["dependencies"])


def test_every_requirement_has_one_lower_bound():
    everything = [*requirements([*PROJECT["optional-dependencies"]])]
    assert len({r.name for r in everything}) > 40
    lowest(everything)


@pytest.mark.slow
def test_the_lowest_versions_pass(tmp_path):
    """In a fresh environment of this Python; the packages come from where pip is told to look."""
    python = tmp_path / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "env")], check=True)
    wanted = [f"{ROOT}[{','.join(EXTRAS)}]", *lowest(requirements(EXTRAS)), "scikit-learn"]
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*install, *wanted], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    # Libraries of that age warn of what has been mended since.
    tests = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "default", *FILES]
    done = subprocess.run(tests, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:]
