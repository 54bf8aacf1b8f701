"""The flags that say who walks the images: `--engine` and what belongs to each engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from segkit.errors import UsageError

if TYPE_CHECKING:
    from segkit.running.engines.engine import Engine

OF_RAY = {"ray_address": "--ray.address", "ray_cpus": "--ray.cpus", "ray_gpus": "--ray.gpus"} | {
    "ray_chunk": "--ray.chunk"
}
"""Click's name to flag of what `ray` alone takes."""


def engine_options() -> list[click.Option]:
    """The flags."""
    option = click.Option
    return [
        option(
            ["--engine"],
            type=click.Choice(("local", "workers", "ray")),
            default="local",
            help="Who walks the images: this process, workers on this machine, or a cluster by "
            "Ray. [local]",
        ),
        option(
            ["--workers"],
            metavar="N|auto",
            help="Processes of --engine workers, or of ray at most; auto: as many as there are "
            "processors. [auto]",
        ),
        option(
            ["--ray.address", "ray_address"],
            metavar="auto|local|ADDRESS",
            help="The cluster: one that runs here or that RAY_ADDRESS names, one of its own on "
            "this machine, or HOST:PORT. [auto]",
        ),
        option(
            ["--ray.cpus", "ray_cpus"],
            type=click.FloatRange(0, min_open=True),
            metavar="N",
            help="Processors that a worker takes of the cluster. [1]",
        ),
        option(
            ["--ray.gpus", "ray_gpus"],
            type=click.FloatRange(0),
            metavar="N",
            help="GPUs that a worker takes; 0.25 lets four share one. [0]",
        ),
        option(
            ["--ray.chunk", "ray_chunk"],
            type=click.IntRange(1),
            metavar="N",
            help="Images that a worker gets at once. [16]",
        ),
    ]


def engine_of(params: Mapping[str, Any]) -> Engine | None:
    """The engine that the flags ask for; None: this process.

    Raises `UsageError` for a flag of another engine, and where Ray is not installed.
    """
    name = params["engine"]
    for key, flag in OF_RAY.items():
        if params[key] is not None and name != "ray":
            raise UsageError(f"{flag} belongs to --engine ray; add that, or leave it out")
    if name == "local":
        if params["workers"] is not None:
            raise UsageError(
                "--workers belongs to --engine workers or ray; add one of them, or leave it out"
            )
        return None
    if params["trace"]:
        raise UsageError(
            f"--trace shows the steps of this process, and with --engine {name} they work in "
            "others; leave out one of them"
        )
    from segkit.running.engines.choosing import engine

    return engine(
        name,
        workers=_workers(params["workers"]),
        address=params["ray_address"] or None,
        cpus=params["ray_cpus"],
        gpus=params["ray_gpus"],
        chunk=params["ray_chunk"],
    )


def _workers(text: str | None) -> int | None:
    """The number of workers; None: as many as there is room for."""
    if text is None or text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"--workers should be a whole number from 1, or auto, but is '{text}'")
    return int(text)
