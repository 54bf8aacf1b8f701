"""How the folder of one or several recipes' runs is taken up: first looked at, then made."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from segkit.deprecations import SegkitWarning
from segkit.plugins.steps import Step
from segkit.running.folder import Record, check, check_free, prepare
from segkit.running.inputs import keep_apart
from segkit.running.owned import Left, Line, left_in
from segkit.running.plan import Plan
from segkit.running.sources import Read, RunImages


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
    _left: dict[Path, Left] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.resume = self.resume and not self.overwrite

    def check(self, files: Iterable[str] = ()) -> None:
        """Refuse what cannot be, and find the names that images have had; nothing is changed.

        `files`: what will be written into `directory` beside the records. Raises `UsageError`.
        """
        how = {"resume": self.resume, "overwrite": self.overwrite}
        steps: list[Step] = []
        for plan in self.plans.values():
            steps += [step for step in (plan.dataset, *plan.steps) if step not in steps]
        left = left_in(self.directory)
        keep_apart(self.directory, self.images, steps, left, resume=self.resume)
        check(self.directory, **how)
        check_free(self.directory, files)
        if self.resume:
            self.images.rename(one.lines for one in left)
        self._left = {one.directory: one for one in left}
        names = [name for name in self.images.names if name not in self.images.skipped]
        for name, record in self.records.items():
            check(record.directory, **how)
            writers = [writer.name for writer in self.plans[name].writers]
            record.check(self._left.get(record.directory), writers, names, resume=self.resume)

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
            there = self._left.get(record.directory)
            if self.resume and there is not None and there.lines:
                written = record.results.stat().st_mtime
                finished, left = self.images.finished(there.lines, written, read, needs)
            aside.append(record.start(finished, left, **how))
        for sentence in self.images.told(aside):
            warnings.warn(sentence, SegkitWarning, stacklevel=3)
