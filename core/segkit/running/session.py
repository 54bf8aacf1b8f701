"""One session: plans over a data set into a folder; with `--resume`, what is left of them.

It decides what is to be done, with `--resume` what is left, lets an `Engine` walk the images, and
keeps the folder: only a session appends to results.jsonl. `run`, `sweep`, `diagnose` and
`robustness` are sessions with different jobs (see `segkit.running.job`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from segkit.deprecations import SegkitWarning
from segkit.errors import UsageError
from segkit.plugins.catalog import Catalog
from segkit.plugins.figures import figure_of
from segkit.plugins.observers import Observers
from segkit.plugins.steps import Step
from segkit.running.asked import check_early, check_ids
from segkit.running.damaged import is_damaged
from segkit.running.engines.choosing import EngineLike, engine_of
from segkit.running.engines.engine import Engine
from segkit.running.engines.local import Local
from segkit.running.folder import (
    Record,
    check,
    check_free,
    disk_error,
    prepare,
)
from segkit.running.job import Job
from segkit.running.keeping import Keeper, closed
from segkit.running.lines import Line, Pace, Summary, Totals, end, notes_of
from segkit.running.lock import owned
from segkit.running.options import RunOptions
from segkit.running.owned import Left, left_in
from segkit.running.pins import recorded_pins
from segkit.running.plan import Plan
from segkit.running.protocols import difference, goes_on, read_protocols
from segkit.running.result_lines import ResultLines
from segkit.running.safeguards import keep_apart
from segkit.running.shards import Shard
from segkit.running.sources import RunImages, reader_of
from segkit.running.writing import UnwritableError, Writing
from segkit.values.files import clear_scrap
from segkit.values.spreading import levels_for


class Session:
    """One call that runs a job into its folder."""

    def __init__(
        self, job: Job, options: RunOptions | None = None, engine: Engine | None = None
    ) -> None:
        """`engine` walks the images; by default that of the options, or else this process.

        Raises what the data set raises when it lists its images.
        """
        self.job = job
        options = options or RunOptions()
        self.engine = engine or options.engine or Local()
        # To start again wins over going on.
        self.options = replace(options, resume=options.resume and not options.overwrite)
        # First: a folder without images leaves no trace.
        self.images = RunImages(job.dataset, options.shard)
        self.classes = job.classes(self.options.classes)
        check_early(self._steps, self.classes)
        self.watch = Observers(self.options.observers)
        contents = {name: self.options.content(plan) for name, plan in job.plans.items()}
        levels = levels_for(len(self.images.names))  # alike in all shards
        self.records = {n: Record(job.folder(n), c, levels) for n, c in contents.items()}
        self.keeper = Keeper(self.records)
        self.writing = Writing(job, self.records, self.images, self.watch, self._append)
        self._left: dict[Path, Left] = {}
        """What an earlier run has left, folder by folder."""
        self.totals = {n: Totals(job.plans[n], c, self.classes) for n, c in contents.items()}

    @property
    def _steps(self) -> list[Step]:
        """Every step of the plans, each once."""
        every = [s for plan in self.job.plans.values() for s in (plan.dataset, *plan.steps)]
        return [*dict.fromkeys(every)]

    def run(self) -> dict[str, Summary]:
        """Do what is not done yet; each recipe's summary by its name.

        Raises `UsageError` for a folder that cannot be used, what opening a step raises, and
        `SegkitError` if the folder can no longer be written. What was finished before is kept.
        """
        with owned(self.job.directory):
            try:
                return self._run()
            finally:
                for record in self.records.values():
                    record.close()

    def _run(self) -> dict[str, Summary]:
        self._check()
        options, watch = self.options, self.watch
        try:
            # Before the folder is touched: what cannot be opened leaves everything as it was.
            with self.engine.opened(self.job, options, watch) as there:
                self.classes = self.writing.classes = dict(there.classes)
                check_ids(self.classes, [w for p in self.job.plans.values() for w in p.writers])
                for total in self.totals.values():
                    total.classes = self.classes
                    total.sought = there.vocabulary
                self._note_weights()
                self._start()
                skipped = self.images.skipped
                done = {n: r.finished | skipped for n, r in self.records.items()}
                count = sum(len(record.finished) for record in self.records.values())
                recipes, images = tuple(self.job.plans), len(self.images)
                watch.tell("segkit_before_run", recipes=recipes, images=images, done=count)
                self.pace = Pace(len(recipes))
                there.walk(self.images.names, done, self.writing)
                self.keeper.close()
                speed = self.pace.told(there.workers)
            for total in self.totals.values():
                total.order(self.images.place)
            summaries = end(self.records, self.totals, speed)
        except BaseException as error:
            closed(self.keeper)
            told = self._told(error)
            if isinstance(told, Exception):
                watch.tell("segkit_run_failed", error=told)
            if told is error:
                raise
            raise told from error
        watch.tell("segkit_after_run", summaries=summaries)
        for sentence in (*watch.dropped, *notes_of(summaries.values())):
            warnings.warn(sentence, SegkitWarning, stacklevel=4)
        return summaries

    # ---- the folder ----------------------------------------------------------------------------

    def _check(self) -> None:
        """Refuse what cannot be, and find the names that images have had; nothing is changed."""
        job, how = self.job, {"resume": self.options.resume, "overwrite": self.options.overwrite}
        left = left_in(job.directory)
        keep_apart(job.directory, self.images, self._steps, left, resume=self.options.resume)
        check(job.directory, **how)
        check_free(job.directory, job.files)
        if self.options.resume:
            self.images.rename(folder.lines for folder in left)
        self._left = {folder.directory: folder for folder in left}
        skipped = self.images.skipped
        names = [name for name in self.images.names if name not in skipped]
        for recipe, record in self.records.items():
            check(record.directory, **how)
            writers = [writer.name for writer in job.plans[recipe].writers]
            there = self._left.get(record.directory)
            record.check(there, writers, names, resume=self.options.resume)
        job.check(resume=self.options.resume)

    def _note_weights(self) -> None:
        for recipe, record in self.records.items():
            plan = self.job.plans[recipe]
            tables = recorded_pins((plan.dataset, *plan.steps), shipped=True)
            record.note_weights(tables, resume=self.options.resume)

    def _start(self) -> None:
        """Make the folders; of a run that goes on, find what is done, and tell what is not."""
        try:
            self._make()
        except OSError as error:
            kept = sum(line.get("status") == "ok" for line in self._lines())
            raise disk_error(error, self.job.directory, kept) from error

    def _make(self) -> None:
        job, how = self.job, {"resume": self.options.resume, "overwrite": self.options.overwrite}
        if self.options.resume:
            self._check_protocols()
        if job.nested:
            files = ("report.html", *job.files)
            prepare(job.directory, files=files, recipes=[*job.plans], **how)
        for folder in self._left.values() if self.options.resume else ():
            for place in ("", *folder.places):
                clear_scrap(folder.directory / place)
        read = reader_of(job.dataset)
        aside = []
        for recipe, record in self.records.items():
            there = self._left.pop(record.directory, None)
            lines: Iterable[Line] = ()
            left: set[str] = set()
            if self.options.resume and there is not None and there.lines:
                written = record.results.stat().st_mtime
                damaged = partial(self._is_damaged, recipe)
                lines = self.images.finished(there.lines, left, written, read, job.needs, damaged)
                lines = self._protocol_checked(recipe, lines)
            aside.append(record.start(self._counted(recipe, lines), left, **how))
        for sentence in self.images.told(aside):
            warnings.warn(sentence, SegkitWarning, stacklevel=6)
        self._left.clear()
        job.start(self._lines())

    def _lines(self) -> Iterator[Line]:
        """The lines that the folders of all recipes hold by now."""
        return (line for record in self.records.values() for line in record.lines())

    def _counted(self, recipe: str, lines: Iterable[Line]) -> Iterator[Line]:
        """The lines that stay, each added to the totals."""
        for line in lines:
            self.totals[recipe].add(line)
            yield line

    def _check_protocols(self) -> None:
        """The same of all recipes before the first is touched, as far as it can be seen by then."""
        for recipe, record in self.records.items():
            there = self._left.get(record.directory)
            if there is not None and there.lines:
                self._check_protocol(recipe, partial(self._has_more, there.lines))

    def _has_more(self, lines: ResultLines) -> bool:
        """Whether an image is not done yet, by these lines."""
        absent = self.images.absent
        return any(
            name not in lines or not lines[name].ok
            for place, name in enumerate(self.images.names)
            if place not in absent
        )

    def _protocol_checked(self, recipe: str, lines: Iterable[Line]) -> Iterator[Line]:
        """The lines that stay; in the end refuse to count others differently."""
        count = 0
        for line in lines:
            count += 1
            yield line
        self._check_protocol(recipe, lambda: count < len(self.images))

    def _check_protocol(self, recipe: str, has_more: Callable[[], bool]) -> None:
        """Refuse to count more images differently from those before, maybe by `segkit score`."""
        total, folder = self.totals[recipe], self.records[recipe].directory
        total.before = read_protocols(folder)
        metrics = self.job.plans[recipe].metrics
        now = total.protocols({name: figure_of(metrics, name) for name in total.before})
        for name, protocol in now.items():
            before = total.before[name]
            if not goes_on(before, protocol) and has_more():
                raise UsageError(
                    f"--resume: {name} in '{folder}' was counted differently from how this run "
                    f"counts it ({difference(before, protocol)}); choose another folder, or run it "
                    "anew by --overwrite"
                )

    def _is_damaged(self, recipe: str, line: Line) -> bool:
        """Whether files of a finished image are lost, so that it is done again."""
        job = self.job
        folder, writers = job.folder(recipe), job.plans[recipe].writers
        return is_damaged(folder, line, writers) or not job.is_intact(line)

    def _append(self, recipe: str, line: Line) -> None:
        """Keep a finished line, and tell of it; in any thread, one at a time."""
        self.pace.add()
        self.keeper.add(recipe, line)
        name = self.images.own_name(line["name"])
        self.totals[recipe].add(line | {"name": name})
        context = {"name": name, "recipe": recipe}
        if line["error"] is None:
            self.watch.tell("segkit_after_image", result=line, **context)
        else:
            self.watch.tell("segkit_image_failed", error=line["error"], **context)

    def _told(self, error: BaseException) -> BaseException:
        """What a disk has refused as a sentence that says how much is kept; all else as it is."""
        if not isinstance(error, UnwritableError):
            return error
        record = self.records[error.recipe]
        return disk_error(error.reason, record.directory, record.kept)


def run(
    plans: Mapping[str, Plan],
    directory: str | Path,
    *,
    seed: int = 0,
    device: str = "cpu",
    classes: Sequence[str] = (),
    chunk: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    catalog: Catalog | None = None,
    observers: Iterable[object] = (),
    engine: EngineLike = None,
    shard: str | None = None,
) -> dict[str, Summary]:
    """Run plans over their data set and return each one's summary by its name.

    A single plan's folder is `directory` itself, several plans' are `directory/recipes/NAME`.
    `classes` are names for the class ids 1, 2, … in place of the data set's; `chunk` images are
    worked on together (by default 4, on a GPU 16); `catalog` tells where plugins came from;
    `observers` are objects with watching hooks; `engine`, who walks the images: `"local"`,
    `"workers"`, `"ray"`, or one with options (`segkit.engine`); `shard`, such as `"2/8"`, does the
    2nd of 8 parts of the images alone (see `segkit.merge`).

    Raises `UsageError` for what is no plan by its name, plans of different data sets, a folder that
    cannot be used, and what is no engine or shard; what opening a step raises, and `SegkitError` if
    the folder can no longer be written. What was finished before is kept in any case.
    """
    if not isinstance(plans, Mapping) or not all(isinstance(p, Plan) for p in plans.values()):
        raise UsageError(
            "plans should be given by their names, such as {'run': pipeline.plan(dataset)}; "
            "pipeline.run('photos', 'out') runs a single pipeline"
        )
    options = RunOptions(
        seed,
        device,
        tuple(classes),
        chunk,
        resume,
        overwrite,
        catalog,
        tuple(observers),
        shard=Shard.of(shard),
        engine=engine_of(engine),
    )
    return Session(Job(plans, Path(directory), nested=len(plans) > 1), options).run()
