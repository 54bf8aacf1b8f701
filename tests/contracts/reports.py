"""pytest run on a folder of tests, and what each of them says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree


def reported(folder: Path, *options: str, path: tuple[Path, ...] = ()) -> dict[str, dict[str, str]]:
    """Class to its tests, without 'Test_' and 'test_': '' if passed, else what a test says.

    Skipped tests say 'skipped: ' and the reason. `path` are folders to import from.
    """
    report = folder / "report.xml"
    python_path = os.pathsep.join([*map(str, path), os.environ.get("PYTHONPATH", "")])
    quiet = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-c", os.devnull]
    command = [sys.executable, "-m", "pytest", *quiet, f"--junitxml={report}", *options, "."]
    env = {**os.environ, "PYTHONPATH": python_path}
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found: dict[str, dict[str, str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        tests = found.setdefault(case.attrib["classname"].rpartition("Test_")[2], {})
        name = case.attrib["name"].removeprefix("test_")
        tests[name] = ""
        for problem in case:
            if problem.tag in ("failure", "error"):
                tests[name] = (problem.text or "").strip()
            elif problem.tag == "skipped":
                tests[name] = f"skipped: {problem.attrib['message']}"
    return found
