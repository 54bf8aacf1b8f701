"""Run the notebook without Jupyter: `python docs/run_notebook.py`; --write keeps its output.

All cells share one namespace and start in an empty folder. What a cell prints, and how its last
value shows itself (HTML, a JPEG or text), is its output, as in Jupyter.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

NOTEBOOK = Path(__file__).parent / "how-to" / "notebook.ipynb"

WIDEST = 1000
"""Pixels of the width of kept pictures."""

Output = dict[str, Any]


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells that are run."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def run(notebook: dict[str, Any]) -> list[list[Output]]:
    """The output of each code cell. Raises what a cell raises, with a note of which it is."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    outputs = []
    with tempfile.TemporaryDirectory() as folder, working_in(folder):
        for number, cell in enumerate(code_cells(notebook), 1):
            try:
                outputs.append(run_cell("".join(cell["source"]), f"cell {number}", namespace))
            except Exception as error:
                raise RuntimeError(f"cell {number} of the notebook fails: {error}") from error
    return outputs


@contextlib.contextmanager
def working_in(folder: str) -> Iterator[None]:
    """A folder to be in for a while."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def run_cell(source: str, where: str, namespace: dict[str, Any]) -> list[Output]:
    """Run one cell: what it prints, what it warns of, and what its last expression is."""
    body = ast.parse(source, where).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    printed, told = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), warned(told):
        exec(compile(ast.Module(body, []), where, "exec"), namespace)
        value = None
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), where, "eval"), namespace)
    streams = {"stderr": told.getvalue(), "stdout": printed.getvalue()}
    outputs: list[Output] = [
        {"output_type": "stream", "name": name, "text": lines(text)}
        for name, text in streams.items()
        if text
    ]
    if value is not None:
        outputs.append({"output_type": "display_data", "metadata": {}, "data": shown(value)})
    return outputs


@contextlib.contextmanager
def warned(told: TextIO) -> Iterator[None]:
    """Warnings as lines of text."""

    def show(message: Warning | str, category: type[Warning], *_: object) -> None:
        print(f"{category.__name__}: {message}", file=told)

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = show
        yield


def shown(value: Any) -> dict[str, Any]:
    """A value as a notebook keeps it, by MIME type."""
    data: dict[str, Any] = {"text/plain": lines(repr(value))}
    html: Callable[[], str | None] = getattr(value, "_repr_html_", lambda: None)
    jpeg: Callable[[], bytes | None] = getattr(value, "_repr_jpeg_", lambda: None)
    if (text := html()) is not None:
        data["text/html"] = lines(text)
    if (picture := jpeg()) is not None:
        data["image/jpeg"] = base64.b64encode(small(picture)).decode()
    return data


def small(jpeg: bytes) -> bytes:
    """The picture at most `WIDEST` wide: the file is read on a page, and kept with its history."""
    import PIL.Image

    picture = PIL.Image.open(io.BytesIO(jpeg))
    picture.thumbnail((WIDEST, WIDEST))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=85)
    return content.getvalue()


def lines(text: str) -> list[str]:
    """Text as notebooks hold it."""
    return text.splitlines(keepends=True)


def read() -> dict[str, Any]:
    """The notebook."""
    return dict(json.loads(NOTEBOOK.read_text(encoding="utf-8")))


def main() -> None:
    """Run it; with --write keep the output in the file."""
    os.environ.setdefault("COLUMNS", "80")
    notebook = read()
    outputs = run(notebook)
    for number, (cell, output) in enumerate(zip(code_cells(notebook), outputs, strict=True), 1):
        cell |= {"execution_count": number, "outputs": output}
        for one in output:
            text = one.get("text") or one["data"]["text/plain"]
            print(f"[{number}] {''.join(text).rstrip()}")
    if "--write" in sys.argv:
        text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
        NOTEBOOK.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
