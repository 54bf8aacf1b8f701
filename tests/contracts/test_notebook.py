"""The notebook runs from its first cell to its last, and keeps output as it is today."""

from __future__ import annotations

import copy
import sys

import pytest
from pages import DOCS

sys.path.insert(0, str(DOCS))

import run_notebook


def sorts(outputs):
    """What kinds of output there are: streams and MIME types, whatever figures are in them."""
    return [sorted(o.get("data", {o.get("name"): ""})) for o in outputs]


def test_the_notebook_runs(monkeypatch):
    for library in ("lightning", "pandas", "supervision"):
        pytest.importorskip(library, reason="the notebook shows it")
    monkeypatch.setenv("COLUMNS", "80")
    notebook = run_notebook.read()
    cells = run_notebook.code_cells(notebook)
    outputs = run_notebook.run(notebook)
    assert len(outputs) == len(cells) > 15
    assert all(outputs)  # each cell shows something
    kept = [sorts(cell["outputs"]) for cell in cells]
    assert kept == list(map(sorts, outputs)), "run: python docs/run_notebook.py --write"
    assert "Traceback" not in str(outputs)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))


def test_all_that_python_has_for_users_is_shown():
    cells = run_notebook.code_cells(run_notebook.read())
    source = "".join("".join(cell["source"]) for cell in cells)
    names = ("step", "dataset", "describe", "sweep", "diagnose", "robustness", "train", "add_class")
    methods = ("each", "save", "to_supervision", "to_pandas")
    shown = [*(f"segkit.{name}(" for name in names), *(f".{name}(" for name in methods)]
    shown += ["seeds=", ".scores", "masks[", "images: "]
    assert [what for what in shown if what not in source] == []


def test_a_cell_that_fails_is_named():
    notebook = copy.deepcopy(run_notebook.read())
    for cell in run_notebook.code_cells(notebook):
        cell["source"] = ["x = 1"]
    run_notebook.code_cells(notebook)[2]["source"] = ["x\n", "1 / 0"]
    with pytest.raises(RuntimeError, match="cell 3 of the notebook fails: division by zero"):
        run_notebook.run(notebook)


def test_output_is_what_a_cell_prints_warns_of_and_ends_with():
    code = "import warnings\nwarnings.warn('look out')\nprint('a')\nx = 3\nx + y"
    namespace = {"y": 4}
    first, second, third = run_notebook.run_cell(code, "here", namespace)
    assert first == {"output_type": "stream", "name": "stderr", "text": ["UserWarning: look out\n"]}
    assert second == {"output_type": "stream", "name": "stdout", "text": ["a\n"]}
    assert third["data"] == {"text/plain": ["7"]}
    assert namespace["x"] == 3
    assert run_notebook.run_cell("x = 5", "here", namespace) == []
