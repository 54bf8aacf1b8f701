"""The hooks: one for each kind that registers its plugins, and those that watch a run.

A registration hook returns classes and does no work. A watching hook (group `segkit.observer`,
or a file given by `--plugin`) gets what happens and returns nothing. Both name only the arguments
that they want, as pluggy allows. Watching hooks are called one at a time, but from several threads:
files are written beside the next images' work, so what is told of one can come amid another's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pluggy

from segkit.kinds import KINDS, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from segkit.plugins.steps import Step
    from segkit.values.types import Image

hookspec = pluggy.HookspecMarker("segkit")
hookimpl = pluggy.HookimplMarker("segkit")
"""Marks a function of a plugin module as the implementation of a hook."""

API_VERSION = 2
"""The version of the plugin API: one more whenever something is added, changed or taken away."""

OLDEST_API = 1
"""The oldest version whose plugins still work: raised when something is taken away."""


# ---- registration: one hook a kind, in the order in which values flow -------------------------


def _registration(kind: Kind) -> Callable[[], Any]:
    """The hook that registers the plugins of a kind, as `def segkit_…() -> Sequence[type[…]]`."""

    def hook() -> Any:
        pass

    hook.__name__ = hook.__qualname__ = kind.hook
    hook.__doc__ = f"The {kind.plural} that this module offers."
    hook.__annotations__ = {"return": f"Sequence[type[{kind.interface}]]"}
    return hookspec(hook)


globals().update({kind.hook: _registration(kind) for kind in KINDS.values()})


# ---- observers: before, after and failed, for a step, an image and a run ----------------------


@hookspec
def segkit_before_step(step: Step, image: Image) -> None:
    """Called before a step works on an image; images of one batch come one after another."""


@hookspec
def segkit_after_step(step: Step, image: Image, output: Any, seconds: float, method: str) -> None:
    """Called when a step has worked, with what it made; do not change it.

    `seconds`: how long it took; images that it worked on together share the time evenly.
    `method`: what was called: the kind's work method, or one of its extras such as `encode`.
    """


@hookspec
def segkit_step_failed(step: Step, image: Image, error: Exception) -> None:
    """Called when a step has raised, or has made what breaks its contract."""


@hookspec
def segkit_before_image(name: str) -> None:
    """Called when an image's turn comes; images of one chunk come one after another."""


@hookspec
def segkit_after_image(name: str, recipe: str, result: Mapping[str, Any]) -> None:
    """Called when one recipe has finished an image: `result` is its line of results.jsonl."""


@hookspec
def segkit_image_failed(name: str, recipe: str, error: str) -> None:
    """Called instead where it failed, with the sentence that says why."""


@hookspec
def segkit_worker_changed(
    worker: int, host: str, images: int, deaths: int, busy_seconds: float
) -> None:
    """Called when a worker is ready, has done some images or has died, with what it did so far.

    Of engines that have workers (`--engine workers` and `ray`). `worker`: its number from 1, which
    whoever takes its place has too.
    """


@hookspec
def segkit_before_run(recipes: Sequence[str], images: int, done: int) -> None:
    """Called once when all steps are open: the recipes' names, images in all, already done.

    "Done" counts each image once for each recipe that has finished it, in a run that goes on.
    """


@hookspec
def segkit_after_run(summaries: Mapping[str, Mapping[str, Any]]) -> None:
    """Called once at the end: each recipe's summary.json by its name."""


@hookspec
def segkit_run_failed(error: Exception) -> None:
    """Called once instead if the run stopped early; what was finished is kept."""
