"""What a paper takes from a folder: figures/, tables/ and the works to cite.

`figures/` has charts and pictures (`paper_charts`, `recipe_figure`), `tables/` has tables
(`paper_tables`) and references.bib (`citations`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from segkit.plugins.catalog import Catalog
from segkit.reporting.citations import references
from segkit.reporting.paper_charts import FORMATS, charts_of, saved, style
from segkit.reporting.paper_tables import tables_of
from segkit.reporting.recipe_figure import recipe_figure
from segkit.reporting.report_figures import figures_of, metrics_of
from segkit.reporting.report_folder import Folder
from segkit.reporting.report_gallery import picture_files
from segkit.reporting.templating import told
from segkit.running.ledger import note_files
from segkit.values.files import write_file


def write_figures(
    directory: Path,
    *,
    rows: int = 4,
    images: Sequence[str] = (),
    catalog: Catalog | None = None,
) -> tuple[Path, ...]:
    """Write DIR/figures: every chart and some pictures, each as SVG, PDF and PNG; their paths.

    `directory` is as `write_report` takes it; `rows` and `images` are as in `recipe_figure`.
    Without pictures there are charts alone. Raises `UsageError` where there is neither, or no
    picture of a named image; `MissingExtraError` without Matplotlib; `OSError` where a file cannot
    be written.
    """
    folder = Folder.read(directory)
    figures = figures_of(folder, metrics_of(folder, catalog or Catalog()))
    files: dict[str, bytes] = {}
    with style():
        for name, drawing in charts_of(folder, figures):
            files |= {f"{_safe(name)}.{suffix}": saved(drawing, suffix) for suffix in FORMATS}
    if images or picture_files(folder) or not files:
        pictures = recipe_figure(folder, rows, images)
        files |= {f"recipes.{suffix}": pictures[suffix] for suffix in FORMATS}
    return _write(directory, "figures", files)


def write_tables(
    directory: Path, *, columns: Sequence[str] = (), catalog: Catalog | None = None
) -> tuple[Path, ...]:
    """Write DIR/tables: leaderboard, pairs or scores, images, and references.bib; their paths.

    `columns` names the figures in LaTeX and Markdown; CSV has all. Raises `UsageError` for a figure
    that nobody has, `OSError` where a file cannot be written.
    """
    folder, catalog = Folder.read(directory), catalog or Catalog()
    figures = figures_of(folder, metrics_of(folder, catalog))
    files = {name: text.encode() for name, text in tables_of(folder, figures, columns)}
    files["references.bib"] = references(folder, catalog).encode()
    return _write(directory, "tables", files)


def _write(directory: Path, inside: str, files: dict[str, bytes]) -> tuple[Path, ...]:
    with told(directory / inside):
        note_files(directory, *(f"{inside}/{name}" for name in files))
        return tuple(write_file(directory / inside / name, files[name]) for name in files)


def _safe(name: str) -> str:
    """A name for a file: recipes and options may be called anything."""
    return re.sub(r"[^\w.=+,-]+", "_", name)
