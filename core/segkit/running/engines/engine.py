"""What an engine is: who walks the images of a session, wherever it is, and makes lines of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from segkit.plugins.observers import Observers
from segkit.running.job import Job, Skip
from segkit.running.options import RunOptions
from segkit.running.writing import Writing


class OpenedJob(Protocol):
    """A job whose steps are open, wherever that is."""

    @property
    def classes(self) -> Mapping[int, str]:
        """{id: name} of the run, as its steps have settled on them."""
        ...

    @property
    def vocabulary(self) -> Sequence[str]:
        """The classes that the steps are limited to; none where they are not."""
        ...

    @property
    def workers(self) -> Sequence[Mapping[str, Any]]:
        """What each worker has done so far, as summary.json has it; none where there are none."""
        ...

    def walk(self, names: Sequence[str], done: Skip, write: Writing) -> None:
        """Give `write.keep` each recipe's line of each image that it has not done.

        `names` are those of the images, in the data set's order; `done`: recipe to the names that
        it has done. Lines come in any order, each once and as soon as it is finished, from any
        thread but one at a time. What comes of an image goes to the job (`Job.lines`), which makes
        its lines by `write` in the session's process. Where another process makes them, `write` is
        told before that begins, for it notes the image in the folder. An image that cannot be done
        is a line too, with its `error`; what is raised here ends the run, and what was finished
        stays.
        """
        ...


class Engine(Protocol):
    """Walks the images of a job.

    It neither touches the run's folder nor decides what is to be done: the session does. Images may
    be walked in any order and apart from each other, for the same seed, image and step make the
    same line (`running.calling.randomness`). A job can be pickled as long as its steps are closed.
    """

    def opened(
        self, job: Job, options: RunOptions, observers: Observers
    ) -> AbstractContextManager[OpenedJob]:
        """Open each of the job's steps, wherever they will work; all are closed in the end.

        Of the options, seed, device, classes and chunk concern an engine. `observers` are told of
        images and steps. Raises what opening a step raises, before any image is worked on.
        """
        ...
