"""The page of a run, sweep, diagnosis or examination: DIR/report.html, made from its folder.

One file that needs nothing else: pictures are inside it, its script is short and its own, and its
policy forbids any other and every connection.
"""

from __future__ import annotations

from pathlib import Path

from segkit.plugins.catalog import Catalog
from segkit.reporting.folder import Folder, recipe_in_words
from segkit.reporting.page import figure, make_page
from segkit.running.folder import write_text

__all__ = ["figure", "recipe_in_words", "write_report"]


def write_report(directory: Path, catalog: Catalog | None = None) -> Path:
    """Write DIR/report.html and return its path; an old one stays until the new one is complete.

    `directory` is the folder of a run (results.jsonl is needed), or of a sweep, a diagnosis or an
    examination (recipes/NAME/results.jsonl, leaderboard.json, diagnosis.json, robustness.json: any
    of them). What else lies there, recipe.toml, summary.json and the pictures in overlay/, masks/
    and examples/, is shown too.
    `catalog` says in a few words what each metric is (default: what is installed).

    Raises `UsageError` where there is no such folder or it holds none of these, `OSError` where
    the page cannot be written.
    """
    page = make_page(Folder.read(directory), catalog or Catalog())
    path = directory / "report.html"
    # File names may hold bytes that are no text; UTF-8 cannot write those.
    write_text(path, page.encode("utf-8", "replace").decode("utf-8"))
    return path
