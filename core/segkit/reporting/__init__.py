"""The pages: DIR/report.html of a run, sweep, diagnosis or robustness test, made from its folder.

One file that needs nothing else: pictures are inside it, its script is short and its own, and its
policy forbids any other and every connection. `segkit describe` has a page of the same kind: what
serves one of them alone begins with `report` or `describe`.

A chart is made in three places: its geometry in `charts`, what the template is given of it in
`report_page` or `describe_page`, and the drawing in `templates/`. What the report knows comes from
files whose keys are in `running.records` and `comparing.records`.
"""

from __future__ import annotations

from pathlib import Path

from segkit.plugins.catalog import Catalog
from segkit.reporting.recipe_words import recipe_in_words
from segkit.reporting.report_folder import Folder
from segkit.reporting.report_page import make_page
from segkit.reporting.templating import figure, told, write_page

__all__ = ["figure", "recipe_in_words", "write_report"]


def write_report(directory: Path, catalog: Catalog | None = None) -> Path:
    """Write DIR/report.html and return its path; an old one stays until the new one is complete.

    `directory` is the folder of a run (results.jsonl is needed), or of a sweep, a diagnosis or an
    robustness test (recipes/NAME/results.jsonl, leaderboard.json, diagnosis.json,
    robustness.json: any of them). What else lies there, recipe.toml, summary.json and the pictures
    in overlay/, masks/ and examples/, is shown too.
    `catalog` says in a few words what each metric is (default: what is installed).

    Raises `UsageError` where there is no such folder or it holds none of these, `SegkitError` where
    the page cannot be written.
    """
    path = directory / "report.html"
    page = make_page(Folder.read(directory), catalog or Catalog())
    with told(path):
        write_page(path, page)
    return path
