"""An engine by its name and options: for the command line and for Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from segkit.errors import UsageError, did_you_mean, shortened
from segkit.running.engines.local import Local

if TYPE_CHECKING:
    from segkit.running.engines.engine import Engine

ENGINES = ("local", "workers", "ray")

OPTIONS = {"workers": ("workers",), "ray": ("workers", "address", "cpus", "gpus", "chunk")}
"""Engine to the options that it takes."""

EngineLike: TypeAlias = "str | Engine | None"
"""An engine's name, one with options (`segkit.engine`), or None for this process."""


def engine(
    name: str,
    /,
    *,
    workers: int | Literal["auto"] | None = None,
    address: str | None = None,
    cpus: float | None = None,
    gpus: float | None = None,
    chunk: int | None = None,
) -> Engine:
    """Who walks the images of a run, with options: `segkit.engine("workers", workers=2)`.

    `name`: `"local"`, this process; `"workers"`, processes on this machine; `"ray"`, a cluster.
    `workers`: how many processes, of ray at most; `"auto"`, the default, as many as there is room
    for. The others are ray's: `address` is `"auto"`, `"local"` or `"HOST:PORT"`; a worker takes
    `cpus` [1] processors and `gpus` [0], and `chunk` [16] images at once. One engine serves any
    number of runs.

    Raises `UsageError` for a name or a value that cannot be and for an option of another engine,
    `MissingExtraError` where Ray is not installed.
    """
    if name not in ENGINES:
        hint = did_you_mean(str(name), list(ENGINES), f"there is {', '.join(ENGINES)}")
        raise UsageError(f"there is no engine '{shortened(str(name))}'; {hint}")
    given = {"workers": workers, "address": address, "cpus": cpus, "gpus": gpus, "chunk": chunk}
    for option, value in given.items():
        if value is None:
            continue
        if option not in OPTIONS.get(name, ()):
            owners = " or ".join(
                f"'{other}'" for other, known in OPTIONS.items() if option in known
            )
            raise UsageError(
                f"{option} belongs to the engine {owners}, but the engine is '{name}'; choose "
                "that, or leave it out"
            )
        _check(option, value)
    count = None if workers == "auto" else workers
    if name == "local":
        return Local()
    if name == "ray":
        from segkit.running.engines.ray_pool import ray_engine

        return ray_engine(
            address=address or "auto",
            cpus=1 if cpus is None else cpus,
            gpus=gpus or 0,
            chunk=chunk,
            workers=count,
        )
    from segkit.running.engines.workers import workers_engine

    return workers_engine(count)


def engine_of(asked: EngineLike) -> Engine | None:
    """The engine that is meant; None: this process. Raises `UsageError` for what is none."""
    made = engine(asked) if isinstance(asked, str) else asked
    if made is None or isinstance(made, Local):
        return None
    if not hasattr(made, "opened"):
        raise UsageError(
            f"the engine should be {', '.join(map(repr, ENGINES))} or one made by segkit.engine, "
            f"but is a {type(made).__name__}"
        )
    return made


_NUMBERS = {
    "workers": "a whole number from 1, or 'auto'",
    "cpus": "a number above 0",
    "gpus": "a number from 0",
    "chunk": "a whole number from 1",
}


def _check(option: str, value: Any) -> None:
    """Raise `UsageError` for a value that the option cannot have."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    fits = {
        "workers": value == "auto" or (whole and value >= 1),
        "address": isinstance(value, str) and value != "",
        "cpus": (whole or isinstance(value, float)) and value > 0,
        "gpus": (whole or isinstance(value, float)) and value >= 0,
        "chunk": whole and value >= 1,
    }
    if not fits[option]:
        wanted = _NUMBERS.get(option, "'auto', 'local' or 'HOST:PORT'")
        raise UsageError(f"{option} should be {wanted}, but is {shortened(repr(value))}")
