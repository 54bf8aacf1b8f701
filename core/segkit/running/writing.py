"""What becomes of an image in a run's folder: noted, its files written, its line made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from segkit.plugins.observers import Observers
from segkit.running.folder import Record
from segkit.running.job import Job
from segkit.running.lines import Line, line_of
from segkit.running.sources import RunImages
from segkit.running.walk import Outcome


class Writing:
    """Writes the files of a session's images, or takes note of what is written elsewhere.

    Where this process walks the images it is called with each outcome. An engine with processes of
    its own calls `begin` before one of them gets an image, and `sourced` with the line that comes
    back.
    """

    def __init__(
        self,
        job: Job,
        records: Mapping[str, Record],
        images: RunImages,
        watch: Observers,
        keep: Callable[[str, Line], None],
    ) -> None:
        self.job = job
        self.keep = keep
        """Takes a recipe and its line, and keeps it when its files have reached the disk."""
        self.classes: Mapping[int, str] = {}
        """{id: name} of the run, once the steps are open."""
        self._records = records
        self._images = images
        self._watch = watch

    def __call__(self, recipe: str, outcome: Outcome, name: str = "") -> Line:
        """An image's line for a recipe, after its files are written; by any thread, one at a time.

        What concerns all lines of the run is left to the session.
        """
        name, record = name or outcome.name, self._records[recipe]
        with self.kept(recipe):
            if outcome.error is None:
                record.begin(name)
            plan = self.job.plans[recipe]
            line = line_of(plan, outcome, record.directory, self.classes, self._watch)
            record.end(line)
        source = self._images.source(name, outcome.image, outcome.truth)
        return {**line, "name": name, "source": source}

    def begin(self, recipe: str, name: str) -> None:
        """Note an image before its files are made, wherever that is."""
        with self.kept(recipe):
            self._records[recipe].begin(name)

    def has_files(self, name: str) -> bool:
        """Whether an image comes from files, so that its line needs no hash of its pixels."""
        return self._images.has_files(name)

    def sourced(self, recipe: str, line: Line) -> Line:
        """A line that was made elsewhere, with what was known of its image's files from the start.

        One of an image without files has the hashes already.
        """
        with self.kept(recipe):
            self._records[recipe].end(line)
        stamp = self._images.stamp(line["name"])
        return line if stamp is None else {**line, "source": stamp}

    def lost(self, recipe: str, name: str, error: str) -> Line:
        """The line of an image of which nothing came but this sentence."""
        line = self(recipe, Outcome(recipe, name, error=error))
        return self.job.lost(line)

    @contextmanager
    def kept(self, recipe: str) -> Iterator[None]:
        """What a disk refuses, as `UnwritableError`."""
        try:
            yield
        except OSError as error:
            raise UnwritableError(recipe, error) from error


class UnwritableError(Exception):
    """A recipe's folder could not be written; to be told when all that is finished is kept."""

    def __init__(self, recipe: str, reason: OSError) -> None:
        super().__init__(recipe, reason)
        self.recipe = recipe
        self.reason = reason
