"""A finished run in other formats: what it has kept goes through writers, nothing is segmented.

What the writers make is then the run's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from segkit.errors import PlanError, SegkitError, UsageError
from segkit.kinds import MASK_WRITER, flag_of
from segkit.plugins.catalog import Catalog
from segkit.plugins.contract import blamed
from segkit.plugins.finishing import finish, finishes
from segkit.plugins.steps import Step, Writer
from segkit.running.asked import check_ids
from segkit.running.folder import Record
from segkit.running.kept_run import KeptRun, written
from segkit.running.lock import owned
from segkit.running.owned import left_in
from segkit.running.plan import missing_input
from segkit.running.sifting import Sieve, Threshold
from segkit.running.walk import Outcome
from segkit.values.files import write_file

KEPT = frozenset({"image", "prompts", "masks", "labels", "classes", "directory", "scores"})
"""The names of the values that a run keeps, or that can be read again."""


@dataclass
class Exported:
    """What came of it."""

    images: int = 0
    """How many were exported."""
    failed: dict[str, str] = field(default_factory=dict)
    """Image name to why it was not, in a sentence."""
    left_out: int = 0
    """How many masks are too weak."""


def export(
    directory: Path, writers: Sequence[Writer], catalog: Catalog, *, least_quality: float = 0.0
) -> Exported:
    """Write the images of a run's folder that it has finished in other formats.

    Masks that the run's judge holds for worse than `least_quality` are left out, and the class maps
    painted without them. The run's results.jsonl then names the new files. An image whose photo or
    masks cannot be read fails alone. Raises `UsageError` where the folder is no finished run of one
    recipe, is in use, holds files of others that would be written over, has class ids that a format
    has not, or masks without a quality where one is asked for; `PlanError` for writers that need
    what a run does not keep, and what opening a step raises.
    """
    with owned(directory):
        return _export(directory, writers, catalog, least_quality)


def open_steps(stack: ExitStack, steps: Iterable[Step]) -> None:
    """Open the steps; the stack closes them. Raises what opening a step raises."""
    for step in steps:
        stack.callback(step.close)
        with blamed(step, "could not be opened:"):
            step.open("cpu")


def check_inputs(writers: Iterable[Writer]) -> None:
    """Refuse, with `PlanError`, writers that need what a run does not keep."""
    for writer in writers:
        if (name := missing_input(writer, KEPT)) is not None:
            raise PlanError(
                f"--{flag_of('writer')} {writer.name} needs '{name}', which a run does not keep; "
                "run again with it"
            )


def _export(
    directory: Path, writers: Sequence[Writer], catalog: Catalog, least_quality: float
) -> Exported:
    run = KeptRun.open(directory, catalog)
    check_ids(run.classes, writers)
    check_inputs(writers)
    sieve = Sieve(run, Threshold.of(run, least_quality))
    if least_quality and any(writer.name == MASK_WRITER for writer in writers):
        raise UsageError(
            f"--{flag_of('writer')} {MASK_WRITER} --least-quality {least_quality:g} would write "
            f"over the masks of '{directory}', from which it chooses; leave one of them out"
        )
    record = Record.of(directory)
    left = next((left for left in left_in(directory) if left.directory == directory), None)
    names = [name for name, line in run.lines.items() if line.ok]
    record.check(left, [writer.name for writer in writers], names, resume=False)
    done = Exported()
    with ExitStack() as stack:
        open_steps(stack, (sieve.fuser, *writers))
        for name in names:
            line = run.lines[name]
            try:
                values = run.values(line)
                left_out = sieve.sift(line, values)
                # The figures are those of all masks.
                scores = {} if left_out else line.scores
                outcome = Outcome("", name, left_out=left_out, **values)
                files = written(writers, outcome, directory, run.classes, scores)
            except SegkitError as error:
                done.failed[name] = str(error)
                continue
            record.note(files)
            done.left_out += left_out
            run.lines[name] = line.model_copy(
                update={"files": list(dict.fromkeys([*line.files, *files]))}
            )
            done.images += 1
        # First: what a format has of all images it reads of those that results.jsonl names.
        text = "".join(line.text() for line in run.lines.values())
        write_file(run.results, text, sync=True)
        for writer in writers:
            if finishes(writer):
                exported = [name for name in names if name not in done.failed]
                with blamed(writer, let=(OSError,)):
                    record.note_finish(partial(finish, writer, images=exported))
    return done
