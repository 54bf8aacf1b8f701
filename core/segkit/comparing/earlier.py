"""The recipes that a sweep's folder has already, and that a sweep which goes on does not name.

They stay on the leaderboard as they were run: a sweep that goes on runs only what is added.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from segkit.comparing.records import LeaderboardFile, Row
from segkit.errors import SegkitError
from segkit.plugins.catalog import Catalog
from segkit.plugins.steps import Metric
from segkit.running.job import Job
from segkit.running.options import RunOptions
from segkit.running.recipe import Recipe, make_step
from segkit.running.records import Lines
from segkit.running.result_lines import ResultLines


@dataclass
class Earlier:
    """What an earlier sweep has left of recipes that are not named now."""

    lines: dict[str, Lines] = field(default_factory=dict)
    metrics: dict[str, Sequence[Metric]] = field(default_factory=dict)
    labels: dict[str, Mapping[str, str]] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    skipped: list[Mapping[str, str]] = field(default_factory=list)
    """Those that cannot be compared any more, each with `recipe` and `reason`."""


def earlier_recipes(job: Job, options: RunOptions, results: Mapping[str, Lines]) -> Earlier:
    """The recipes of the folder's leaderboard that are not the job's, as far as they compare.

    That is if they were run on the same data set with the same seed and classes, and have done
    every image that the job has (`results`).
    """
    earlier = Earlier()
    rows: Sequence[Row] = ()
    with suppress(OSError, ValueError, RecursionError):
        text = (job.directory / "leaderboard.json").read_text(encoding="utf-8")
        rows = LeaderboardFile.model_validate(json.loads(text)).rows
    now = Recipe.from_dict(options.content(next(iter(job.plans.values()))))
    images = {name for lines in results.values() for name in lines}
    for row in rows:
        name = row.recipe
        if name in job.plans or not (job.folder(name) / "results.jsonl").is_file():
            continue
        try:
            recipe = Recipe.load(job.folder(name) / "recipe.toml")
            metrics = _metrics(recipe, options.catalog or Catalog())
            lines = ResultLines(job.folder(name) / "results.jsonl")
        except (SegkitError, OSError) as error:
            earlier.skipped.append({"recipe": name, "reason": str(error)})
            continue
        reason = ""
        if _about(recipe) != _about(now):
            reason = "it was run on other images, or with another seed or other classes"
        elif missing := images - {*lines}:
            reason = f"{len(missing)} of the images are not done; name it too to go on with it"
        if reason:
            earlier.skipped.append({"recipe": name, "reason": reason})
            continue
        earlier.lines[name] = {image: line for image, line in lines.items() if image in images}
        earlier.metrics[name] = metrics
        earlier.labels[name] = {axis: str(value) for axis, value in row.options.items()}
        earlier.words[name] = row.words
    return earlier


def _metrics(recipe: Recipe, catalog: Catalog) -> list[Metric]:
    steps: list[Any] = [
        make_step(catalog, "metric", part.name, part.options)
        for part in recipe.parts.get("metric", ())
    ]
    return steps


def _about(recipe: Recipe) -> Any:
    """What recipes must have in common to be compared."""
    datasets = [(part.name, dict(part.options)) for part in recipe.parts.get("dataset", ())]
    return recipe.seed, recipe.classes, datasets
