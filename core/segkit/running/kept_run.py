"""A finished run's folder as its steps left it: recipe, lines, classes, photos and masks.

Pixels of masks and class maps come from the files of the writer `masks`, all that is said of them
from results.jsonl, the photos from where they lay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from segkit.errors import BadImageError, SegkitError, UsageError, plugin_code
from segkit.kinds import BUNDLED, MASK_WRITER
from segkit.plugins.catalog import Catalog
from segkit.plugins.contract import classes_of, item_of, names_of, why_failed
from segkit.plugins.steps import Dataset, Writer
from segkit.running.asked import numbered
from segkit.running.kept import kept_values
from segkit.running.ledger import is_run
from segkit.running.lines import write_files
from segkit.running.recipe import Recipe, make_step
from segkit.running.records import ResultLine, RunSummary
from segkit.running.result_lines import ResultLines
from segkit.running.walk import Outcome
from segkit.values.images import read_image
from segkit.values.types import Image


@dataclass
class KeptRun:
    """A finished run's folder."""

    directory: Path
    recipe: Recipe
    catalog: Catalog
    lines: dict[str, ResultLine]
    classes: Mapping[int, str]
    reader: Any
    """The writer of masks, which reads them again."""

    @classmethod
    def open(cls, directory: Path, catalog: Catalog) -> KeptRun:
        """Raises `UsageError`."""
        if any(directory.glob("recipes/*/results.jsonl")):
            raise UsageError(
                f"'{directory}' holds the runs of several recipes; name one of them, such as "
                f"'{next(directory.glob('recipes/*/results.jsonl')).parent}'"
            )
        if not is_run(directory):
            raise UsageError(
                f"'{directory}' is no run of segkit; name the folder that segkit run has written"
            )
        summary = RunSummary(scores={})
        try:
            text = (directory / "summary.json").read_text(encoding="utf-8")
            summary = RunSummary.model_validate_json(text)
            lines = dict(ResultLines(directory / "results.jsonl"))
        except (OSError, ValueError):
            raise UsageError(
                f"the run in '{directory}' has not finished; go on with it by segkit run --resume"
            ) from None
        recipe = Recipe.load(directory / "recipe.toml")
        reader = make_step(catalog, "writer", f"{BUNDLED}:{MASK_WRITER}", {})
        kept = cls(directory, recipe, catalog, lines, summary.classes, reader)
        if "classes" not in summary.model_fields_set:  # an earlier segkit did not note them
            dataset, _ = kept._dataset
            kept.classes = numbered(recipe.classes) or (classes_of(dataset) if dataset else {})
        return kept

    @property
    def results(self) -> Path:
        """results.jsonl."""
        return self.directory / "results.jsonl"

    def values(self, line: ResultLine) -> dict[str, Any]:
        """`image`, `prompts`, `masks` and `labels` of an image, each where there is one.

        Raises `SegkitError` where its photo or its masks cannot be read.
        """
        image = self.image(line)
        values = kept_values(self.reader, self.directory, line, makes_masks=self.makes_masks)
        if image.size != values["labels"].ids.shape:
            raise UsageError(f"the image {line.name} has another size than its masks; run it again")
        return {"image": image, **values}

    @property
    def makes_masks(self) -> bool:
        """Whether the run makes masks, so that an image without one shows nothing."""
        return any(line.masks for line in self.lines.values())

    def image(self, line: ResultLine) -> Image:
        """The photo where it lay, or else from the data set, which may have made it.

        Raises `SegkitError`.
        """
        path = (line.source or {}).get("path")
        bad: BadImageError | None = None
        if isinstance(path, str) and Path(path).exists():
            try:
                return read_image(Path(path), line.name)
            except BadImageError as error:  # perhaps an archive of many, which the data set reads
                bad = error
        dataset, places = self._dataset
        if dataset is None or line.name not in places:
            if bad is not None:
                raise bad
            where = f" from '{path}'" if path else ""
            raise UsageError(f"the image {line.name} is gone{where}; put it back")
        image, _ = item_of(dataset, places[line.name])
        return replace(image, name=line.name)

    @cached_property
    def _dataset(self) -> tuple[Dataset | None, dict[str, int]]:
        """The run's data set, if it is still there, and the places of its images."""
        try:
            dataset = self.recipe.dataset(self.catalog)
            assert isinstance(dataset, Dataset)
            return dataset, {name: place for place, name in enumerate(names_of(dataset))}
        except SegkitError:
            return None, {}


def written(
    writers: Sequence[Writer],
    outcome: Outcome,
    directory: Path,
    classes: Mapping[int, str],
    scores: Mapping[str, Any],
) -> list[str]:
    """The files that writers make of an image, relative to the folder. Raises `SegkitError`."""
    files: list[str] = []
    for writer in writers:
        try:
            with plugin_code():
                files += write_files(writer, outcome, directory, classes, dict(scores))
        except SegkitError:
            raise
        except Exception as error:
            raise SegkitError(why_failed(writer, error)) from None
    return files
