"""How the folder of one or several recipes' runs is taken up: first looked at, then made."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from segkit.deprecations import SegkitWarning
from segkit.plugins.steps import Step
from segkit.running.folder import Record, check, check_free, prepare, read_lines, run_folders
from segkit.running.inputs import keep_apart
from segkit.running.plan import Plan
from segkit.running.sources import Line, Read, RunImages


@dataclass
class Session:
    """One call that runs plans into a folder, new or not."""

    directory: Path
    images: RunImages
    plans: Mapping[str, Plan]
    records: Mapping[str, Record]
    """Each plan's folder: `directory` itself, or one in its folder `recipes`."""
    resume: bool = False
    overwrite: bool = False

    def check(self, files: Iterable[str] = ()) -> None:
        """Refuse what cannot be, and find the names that images have had; nothing is changed.

        `files`: what will be written into `directory` beside the records. Raises `UsageError`.
        """
        how = {"resume": self.resume, "overwrite": self.overwrite}
        steps: list[Step] = []
        for plan in self.plans.values():
            steps += [step for step in (plan.dataset, *plan.steps) if step not in steps]
        keep_apart(self.directory, self.images, steps, resume=self.resume)
        there = check(self.directory, **how)
        check_free(self.directory, files)
        if there and self.resume:
            self.images.rename(self._lines(run) for run in run_folders(self.directory))
        names = [name for name in self.images.names if name not in self.images.skipped]
        for name, record in self.records.items():
            record.check([writer.name for writer in self.plans[name].writers], names, **how)

    def start(self, read: Read, *, needs: str | None = None, files: Iterable[str] = ()) -> None:
        """Make the folders; of a run that goes on, find what is done and tell what is not any more.

        `read` gives an image and its truth by its place; lines without the key `needs` count as
        unfinished. Raises `UsageError`.
        """
        how = {"resume": self.resume, "overwrite": self.overwrite}
        nested = self.directory not in {record.directory for record in self.records.values()}
        if nested:
            recipes = [record.directory.name for record in self.records.values()]
            prepare(self.directory, files=("report.html", *files), recipes=recipes, **how)
        aside = []
        for record in self.records.values():
            finished: dict[str, Line] = {}
            left: set[str] = set()
            if self.resume and record.results.exists():
                written = record.results.stat().st_mtime
                lines = self._lines(record.directory)
                finished, left = self.images.finished(lines, written, read, needs)
            aside.append(record.start(finished, left, **how))
        for sentence in self.images.told(aside):
            warnings.warn(sentence, SegkitWarning, stacklevel=3)

    def _lines(self, folder: Path) -> dict[str, Line]:
        return read_lines(folder / "results.jsonl")
