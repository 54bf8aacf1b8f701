"""A finished run in other formats: what it has kept goes through writers, nothing is segmented.

Pixels of masks and class maps come from the files of the writer `masks`, all that is said of them
from results.jsonl, the photos from where they lay. What the writers make is then the run's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from segkit.errors import PlanError, SegkitError, UsageError, plugin_code
from segkit.kinds import BUNDLED, MASK_WRITER, flag_of
from segkit.plugins.catalog import Catalog
from segkit.plugins.contract import blamed, classes_of, item_of, names_of, why_failed
from segkit.plugins.steps import Dataset, Writer
from segkit.running.asked import numbered
from segkit.running.folder import Record
from segkit.running.kept import kept_values
from segkit.running.ledger import is_run
from segkit.running.lines import write_files
from segkit.running.lock import owned
from segkit.running.owned import left_in
from segkit.running.plan import missing_input
from segkit.running.recipe import Recipe, make_step
from segkit.running.records import ResultLine, RunSummary, read_results
from segkit.running.walk import Outcome
from segkit.values.files import write_file
from segkit.values.images import read_image
from segkit.values.types import Image

KEPT = frozenset({"image", "prompts", "masks", "labels", "classes", "directory", "scores"})
"""The names of the values that a run keeps, or that can be read again."""


@dataclass
class Exported:
    """What came of it."""

    images: int = 0
    """How many were exported."""
    failed: dict[str, str] = field(default_factory=dict)
    """Image name to why it was not, in a sentence."""


def export(directory: Path, writers: Sequence[Writer], catalog: Catalog) -> Exported:
    """Write the images of a run's folder that it has finished in other formats.

    The run's results.jsonl then names the new files. An image whose photo or masks cannot be read
    fails alone. Raises `UsageError` where the folder is no finished run of one recipe, is in use,
    or holds files of others that would be written over, `PlanError` for writers that need what a
    run does not keep, and what opening a writer raises.
    """
    with owned(directory):
        return _export(directory, writers, catalog)


def _export(directory: Path, writers: Sequence[Writer], catalog: Catalog) -> Exported:
    run = _Kept.open(directory, catalog)
    for writer in writers:
        if (name := missing_input(writer, KEPT)) is not None:
            raise PlanError(
                f"--{flag_of('writer')} {writer.name} needs '{name}', which a run does not keep; "
                "run again with it"
            )
    record = Record.of(directory)
    left = next((left for left in left_in(directory) if left.directory == directory), None)
    names = [name for name, line in run.lines.items() if line.ok]
    record.check(left, [writer.name for writer in writers], names, resume=False)
    done = Exported()
    with ExitStack() as stack:
        for writer in writers:
            stack.callback(writer.close)
            with blamed(writer, "could not be opened:"):
                writer.open("cpu")
        for name in names:
            try:
                files = run.write(name, writers)
            except SegkitError as error:
                done.failed[name] = str(error)
                continue
            record.note(files)
            line = run.lines[name]
            run.lines[name] = line.model_copy(
                update={"files": list(dict.fromkeys([*line.files, *files]))}
            )
            done.images += 1
        # First: what a format has of all images it reads of those that results.jsonl names.
        text = "".join(line.text() for line in run.lines.values())
        write_file(run.results, text, sync=True)
        for writer in writers:
            if type(writer).finish is not Writer.finish:
                with blamed(writer, let=(OSError,)):
                    record.note_finish(writer.finish)
    return done


@dataclass
class _Kept:
    """What a run has left."""

    directory: Path
    recipe: Recipe
    catalog: Catalog
    lines: dict[str, ResultLine]
    classes: Mapping[int, str]
    reader: Any
    """The writer of masks, which reads them again."""

    @classmethod
    def open(cls, directory: Path, catalog: Catalog) -> _Kept:
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
            lines = read_results(directory / "results.jsonl").lines
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

    def write(self, name: str, writers: Sequence[Writer]) -> list[str]:
        """Write an image's files. Raises `SegkitError`."""
        line = self.lines[name]
        image = self._image(line)
        values = kept_values(self.reader, self.directory, line, makes_masks=self._makes_masks)
        if image.size != values["labels"].ids.shape:
            raise UsageError(f"the image {name} has another size than its masks; run it again")
        outcome = Outcome("", name, image=image, **values)
        files: list[str] = []
        for writer in writers:
            try:
                with plugin_code():
                    files += write_files(
                        writer, outcome, self.directory, self.classes, dict(line.scores)
                    )
            except SegkitError:
                raise
            except Exception as error:
                raise SegkitError(why_failed(writer, error)) from None
        return files

    @property
    def _makes_masks(self) -> bool:
        return any(line.masks for line in self.lines.values())

    def _image(self, line: ResultLine) -> Image:
        """The photo where it lay, or else from the data set, which may have made it.

        Raises `SegkitError`.
        """
        path = (line.source or {}).get("path")
        if isinstance(path, str) and Path(path).exists():
            return read_image(Path(path), line.name)
        dataset, places = self._dataset
        if dataset is None or line.name not in places:
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
