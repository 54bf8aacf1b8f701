"""A run's page: DIR/report.html, made from what the run left in its folder.

One file that needs nothing else: pictures are inside it, and there is no script.
"""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from segkit.catalog import Catalog
from segkit.errors import BadImageError, UsageError
from segkit.images import read_image
from segkit.recipe import PIPELINE, Part, Recipe
from segkit.record import write_text

THUMBNAILS = 200
"""At most this many pictures go into a page, some 15 MB; the others stay in the run's folder."""

WIDTH = 480
"""Pixels across a picture in the page."""

STRIP_WIDTH = 960
"""Pixels across a picture that is more than twice as wide as high: several side by side."""

_WHOLE_RUN = {"dataset", "saliency", "transform", "prompt", "segmenter", "selector", "fuser"}


def write_report(directory: Path, catalog: Catalog | None = None) -> Path:
    """Write DIR/report.html and return its path; an old one stays until the new one is complete.

    `directory` is a run's folder: results.jsonl is needed; recipe.toml, summary.json and the
    pictures in overlay/ and masks/ are shown if they are there. `catalog` says in a few words
    what each metric is (default: what is installed).

    Raises `UsageError` where there is no such folder or it holds no run, `OSError` where the page
    cannot be written.
    """
    page = _page(_Run.read(directory), catalog or Catalog())
    path = directory / "report.html"
    # File names may hold bytes that are no text; UTF-8 cannot write those.
    write_text(path, page.encode("utf-8", "replace").decode("utf-8"))
    return path


@dataclass
class _Run:
    """What a run's folder holds."""

    directory: Path
    lines: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Image name to its line of results.jsonl; of two lines the later one."""
    unreadable: int = 0
    """How many lines of results.jsonl make no sense."""
    summary: dict[str, Any] | None = None
    """summary.json; None before the run has finished."""
    recipe_text: str = ""
    recipe: Recipe | None = None
    """recipe.toml; None if it is missing or damaged."""

    @classmethod
    def read(cls, directory: Path) -> _Run:
        if not directory.is_dir():
            raise UsageError(
                f"there is no folder '{directory}'; name the one that segkit run has written"
            )
        run = cls(directory)
        try:
            text = (directory / "results.jsonl").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            raise UsageError(_no_run(directory)) from None
        except OSError as error:
            raise UsageError(
                f"'{directory / 'results.jsonl'}' cannot be read: {error.strerror or error}"
            ) from None
        # Only \n ends a line: names may hold what str.splitlines takes for an end.
        for row in filter(str.strip, text.split("\n")):
            line = _line(row)
            if line is None:
                run.unreadable += 1
            else:
                run.lines[line["name"]] = line
        run.summary = _summary(directory / "summary.json")
        try:
            run.recipe_text = (directory / "recipe.toml").read_text(encoding="utf-8")
            run.recipe = Recipe.load(directory / "recipe.toml")
        except (OSError, UnicodeDecodeError, UsageError):
            pass  # the page says that it is missing
        return run

    @property
    def failed(self) -> list[dict[str, Any]]:
        return [line for line in self.lines.values() if line["status"] != "ok"]

    @property
    def seconds(self) -> dict[str, float]:
        """Step to seconds over all images, from the lines, so that it is there at any time."""
        total: dict[str, float] = {}
        for line in self.lines.values():
            for step, spent in line["seconds"].items():
                total[step] = total.get(step, 0) + spent
        return total


def _no_run(directory: Path) -> str:
    """What to say of a folder without results.jsonl."""
    inside = sorted(p.parent for p in directory.glob("recipes/*/results.jsonl"))
    if inside:
        return f"'{directory}' holds several runs; name one of them, such as '{inside[0]}'"
    if (directory / "recipe.toml").exists():
        return (
            f"the run in '{directory}' has not finished an image yet (no results.jsonl); "
            "go on with it by segkit run --resume"
        )
    return (
        f"'{directory}' holds no results.jsonl, so it is no run of segkit; "
        "name the folder that segkit run has written"
    )


def _line(text: str) -> dict[str, Any] | None:
    """One image's line, or None where it was cut off or is none of ours."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(line, dict) or not isinstance(line.get("name"), str):
        return None
    if line.get("status") not in ("ok", "failed"):
        return None
    tables = {key: _numbers(line.get(key, {})) for key in ("scores", "seconds")}
    if None in tables.values() or not isinstance(line.get("files", []), list):
        return None
    return {**line, **tables}


def _numbers(table: Any) -> dict[str, float] | None:
    """A table of names to numbers, or None if it is something else."""
    if not isinstance(table, dict) or not all(isinstance(v, (int, float)) for v in table.values()):
        return None
    return table


def _summary(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    scores = _numbers(found.get("scores")) if isinstance(found, dict) else None
    return None if scores is None else {**found, "scores": scores}


# ---- the page ---------------------------------------------------------------------------------


def _page(run: _Run, catalog: Catalog) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("segkit", "templates"),
        autoescape=True,  # names and error sentences come from file names
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = figure
    seconds = run.seconds
    scores = run.summary["scores"] if run.summary else {}
    galleries, pictures = _galleries(run)
    return environment.get_template("report.html.j2").render(
        folder=run.directory.resolve().name,
        words=recipe_in_words(run.recipe) if run.recipe else run.directory.resolve().name,
        steps=_steps(run.recipe) if run.recipe else [],
        images=len(run.lines),
        failed=run.failed,
        unreadable=run.unreadable,
        finished=run.summary is not None,
        scores=[(name, value, _meaning(name, run, catalog)) for name, value in scores.items()],
        seconds=[(step, spent, spent / len(run.lines)) for step, spent in seconds.items()],
        total=sum(seconds.values()),
        galleries=galleries,
        pictures=pictures,
        shown=sum(len(shown) for _, shown in galleries),
        recipe=run.recipe_text,
    )


def figure(value: float, name: str = "") -> str:
    """A figure as people read it: shares with four digits, larger ones with two, NaN as –."""
    if not math.isfinite(value):
        return "–" if math.isnan(value) else f"{value}"
    text = f"{value:.4f}" if abs(value) <= 1 else f"{value:,.2f}"
    return f"{text} px" if name == "distance" else text


def recipe_in_words(recipe: Recipe) -> str:
    """The steps from image to labels: `shapes → gradcam → topk → sam → score → paint`."""
    return " → ".join(_joined(parts) for _, parts in _spine(recipe))


def _spine(recipe: Recipe) -> list[tuple[str, Sequence[Part]]]:
    return [(k, recipe.parts[k]) for k in PIPELINE if k in _WHOLE_RUN and recipe.parts.get(k)]


def _joined(parts: Sequence[Part]) -> str:
    """Names in a row; prompters that make one prompt together are joined by +."""
    text = parts[0].name
    for part in parts[1:]:
        text += f" + {part.name}" if part.merge else f", {part.name}"
    return text


def _steps(recipe: Recipe) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Kind, name and options of each step on the way; options that are empty are left out."""
    steps = []
    for kind, parts in _spine(recipe):
        for part in parts:
            given = {o: v for o, v in part.options.items() if v not in ("", [])}
            options = [(o.replace("_", "-"), _shown(v)) for o, v in given.items()]
            steps.append((kind, part.name, options))
    return steps


def _shown(value: Any) -> str:
    """An option's value in little room."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        text = ", ".join(_shown(v) for v in value[:3])
        return f"{text}, … ({len(value)})" if len(value) > 3 else text
    return str(value)


def _meaning(score: str, run: _Run, catalog: Catalog) -> str:
    """The summary of the metric that a score comes from; its name begins with the metric's."""
    parts = run.recipe.parts.get("metric", ()) if run.recipe else ()
    for part in sorted(parts, key=lambda p: len(p.name), reverse=True):
        short = part.name.rpartition(":")[2]
        if score == short or score.startswith(f"{short}-"):
            try:
                return catalog.find("metric", part.name).summary
            except UsageError:  # it is no longer installed
                return ""
    return ""


# ---- pictures ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Picture:
    """One image of the gallery."""

    name: str
    file: Path
    link: str
    """The file's address relative to the page."""
    alt: str
    scores: Mapping[str, float]

    def thumbnail(self) -> _Thumbnail | None:
        """The file made small; None if it is damaged. Made when asked for: it is large."""
        try:
            return _thumbnail(self.file)
        except BadImageError:
            return None


def _galleries(run: _Run) -> tuple[list[tuple[str, list[_Picture]]], int]:
    """Titled rows of pictures, and how many pictures there are in all.

    Worst first where the images have an IoU; of more than fit, the worst and the best.
    """
    found = [p for line in run.lines.values() if (p := _picture(run.directory, line))]
    if not found:
        return [], 0
    rated = sorted((p for p in found if "iou" in p.scores), key=lambda p: p.scores["iou"])
    if not rated:
        return [("In order", found[:THUMBNAILS])], len(found)
    rated += [p for p in found if "iou" not in p.scores]
    if len(rated) <= THUMBNAILS:
        return [("Lowest IoU first", rated)], len(rated)
    half = THUMBNAILS // 2
    rows = [("The lowest IoU", rated[:half]), ("The highest IoU", rated[-half:])]
    return rows, len(rated)


def _picture(directory: Path, line: Mapping[str, Any]) -> _Picture | None:
    """The image's overlay, or else its mask; nothing outside of the run's folder is shown."""
    files = [Path(f) for f in line.get("files", ()) if isinstance(f, str) and "\0" not in f]
    for folder, what in (("overlay", "Overlay"), ("masks", "Mask")):
        for file in files:
            if file.parts[:-1] == (folder,) and (directory / file).is_file():
                name = line["name"]
                link = f"{folder}/{quote(file.name, errors='surrogateescape')}"
                return _Picture(name, directory / file, link, f"{what} of {name}", line["scores"])
    return None


@dataclass(frozen=True)
class _Thumbnail:
    """A small JPEG."""

    uri: str
    width: int
    height: int

    @property
    def strip(self) -> bool:
        """Whether it is several pictures side by side, which need a row of their own."""
        return self.width > 2 * self.height


def _thumbnail(file: Path) -> _Thumbnail:
    import PIL.Image

    picture = PIL.Image.fromarray(read_image(file).pixels)
    wide = picture.width > 2 * picture.height
    picture.thumbnail((STRIP_WIDTH if wide else WIDTH, 2 * WIDTH), PIL.Image.Resampling.LANCZOS)
    packed = io.BytesIO()
    picture.save(packed, "JPEG", quality=80, optimize=True)
    text = base64.b64encode(packed.getvalue()).decode("ascii")
    return _Thumbnail(f"data:image/jpeg;base64,{text}", picture.width, picture.height)
