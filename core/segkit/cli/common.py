"""What the commands that run recipes have in common: flags, observers, folder, device, page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segkit.cli.engine_flags import engine_of, engine_options
from segkit.cli.recipe_flag import recipe_option
from segkit.cli.signals import stop_code, tell_stopped
from segkit.cli.terminal import echo
from segkit.errors import UsageError
from segkit.kinds import BUNDLED, FILES_DATASET

if TYPE_CHECKING:
    from segkit.plugins.catalog import Catalog
    from segkit.plugins.observers import Watcher
    from segkit.running.options import RunOptions
    from segkit.running.recipe import Recipe
    from segkit.running.shards import Shard


def common_options() -> list[click.Option]:
    """The flags that every command which runs recipes takes."""
    option = click.Option
    return [
        option(["-o", "--output"], metavar="DIR", help="The run's folder. [segkit-out/TIME]"),
        recipe_option(),
        option(["--save"], metavar="FILE", help="Write the recipe, all defaults written out."),
        option(["--dry-run"], is_flag=True, help="Check the plan and print it; run nothing."),
        option(["--device"], default="auto", metavar="NAME", help="auto, cpu, cuda or mps. [auto]"),
        option(["--seed"], type=int, metavar="N", help="For all that is random. [0]"),
        option(
            ["--rounds"],
            type=click.IntRange(1),
            metavar="N",
            help="Rounds of segmentation, where a prompter takes a second look. [3]",
        ),
        option(
            ["--classes"],
            metavar="A,B",
            help="The classes to find, with ids 1, 2 …; names alone where no step can choose.",
        ),
        option(
            ["--least-quality"],
            type=float,
            metavar="Q",
            help="Leave masks that --judge holds for worse out of labels and files, 0 to 1. [0]",
        ),
        *tile_options(),
        option(
            ["--split"],
            type=click.FloatRange(0, 1, min_open=True, max_open=True),
            metavar="SHARE",
            help="Of formats that keep train and val apart: this share is train, the rest val.",
        ),
        option(
            ["--trust-torchscript"],
            is_flag=True,
            help="Load the TorchScript files that a recipe names: programs, which can do all that "
            "you may.",
        ),
        option(
            ["--shard"],
            metavar="I/N",
            help="Do the I-th of N parts of the images alone, by their names; see segkit merge.",
        ),
        *engine_options(),
        option(["--resume"], is_flag=True, help="Go on with a run that was cut off."),
        option(["--overwrite"], is_flag=True, help="Start again in a folder that has a run."),
        *plugin_options(),
        option(["--quiet"], is_flag=True, help="Print nothing but errors."),
        option(["--json", "as_json"], is_flag=True, help="Print the summary as JSON."),
        option(["--trace"], is_flag=True, help="Print each step's call, its result and time."),
        option(["--debug"], is_flag=True, help="Show the stack trace of errors."),
    ]


def tile_options() -> list[click.Option]:
    """The flags that say how large images are cut."""
    return [
        click.Option(
            ["--tile"],
            type=int,
            metavar="SIDE",
            help="See larger images in tiles of this side, in pixels; 0: as a whole. [0]",
        ),
        click.Option(
            ["--overlap"],
            type=int,
            metavar="PX",
            help="By how many pixels tiles overlap. [an eighth of --tile]",
        ),
    ]


def plugin_options() -> list[click.Option]:
    """The flags that say whose plugins are used."""
    return [
        click.Option(
            ["--plugin"], multiple=True, metavar="FILE", help="Use the plugins of a single file."
        ),
        click.Option(
            ["--only"],
            multiple=True,
            metavar="NAME",
            help="Of plugins that are not segkit's, use only this package's or this one.",
        ),
    ]


def with_settings(recipe: Recipe, params: Mapping[str, Any]) -> Recipe:
    """The recipe with --seed, --rounds, --classes and what is like them, where they are given."""
    from segkit.running.recipe import with_run_settings

    names = ("seed", "rounds", "least_quality", "tile", "overlap")
    settings: dict[str, Any] = {k: params[k] for k in names if params[k] is not None}
    if params["classes"] is not None:
        settings["classes"] = tuple(c.strip() for c in params["classes"].split(","))
    settings["trust_torchscript"] = params["trust_torchscript"]
    return with_run_settings(recipe, settings)


def check_flags(params: Mapping[str, Any], images: Sequence[str]) -> None:
    """Refuse flags that contradict each other."""
    images_named = (FILES_DATASET, f"{BUNDLED}:{FILES_DATASET}")
    named = [name for name in params["kind_dataset"] if name not in images_named]
    if images and named:
        raise UsageError(
            f"images are named ({images[0]}) and --dataset {named[0]} is given; "
            "leave out one of them"
        )
    if params["resume"] and params["overwrite"]:
        raise UsageError("--resume goes on and --overwrite starts again; choose one of them")
    _shard(params)
    for flag, verb in (("resume", "go on with"), ("overwrite", "replace")):
        if params[flag] and not params["output"]:
            raise UsageError(f"--{flag} needs the folder to {verb}; add -o DIR")


def run_options(
    recipe: Recipe, params: Mapping[str, Any], catalog: Catalog, observers: Sequence[object]
) -> RunOptions:
    """How the flags say that plans are run. Raises `UsageError` for a device that is not there."""
    from segkit.running.options import RunOptions, device_named

    engine = engine_of(params)
    return RunOptions(
        seed=recipe.seed,
        # What a worker's machine has is seen there.
        device=params["device"] if engine else device_named(params["device"]),
        classes=recipe.classes,
        resume=params["resume"],
        overwrite=params["overwrite"],
        catalog=catalog,
        observers=tuple(observers),
        shard=_shard(params),
        engine=engine,
    )


def _shard(params: Mapping[str, Any]) -> Shard | None:
    """What --shard means. Raises `UsageError`."""
    from segkit.running.shards import Shard

    return Shard.of(params.get("shard"))  # not all commands have it


@contextmanager
def watching(
    params: Mapping[str, Any], catalog: Catalog, directory: Path
) -> Iterator[list[object]]:
    """The observers that the flags ask for; the progress bar is gone in the end."""
    from segkit.cli.progress import Failures, Progress, Trace

    bar = Progress()
    observers: list[object] = [Failures(debug=params["debug"])]
    if params["trace"]:
        observers.append(Trace())
    if not params["quiet"] and not params["as_json"]:
        observers.append(bar)
    try:
        yield [*observers, *third_party(catalog)]
    except KeyboardInterrupt as error:
        with suppress(OSError):  # the terminal may be gone
            bar.stop()
        kept = (directory / "results.jsonl").exists() or (directory / "recipes").exists()
        tell_stopped(f"; finished images are kept: go on with --resume -o {directory}" * kept)
        raise click.exceptions.Exit(stop_code(error)) from None
    finally:
        with suppress(OSError):
            bar.stop()


def as_toml(recipe: Recipe, plan: Any, catalog: Catalog) -> str:
    """The plan as a recipe file, every default written out."""
    from segkit.running.pins import recorded_pins
    from segkit.running.recipe_record import to_toml, written_out

    content = written_out(plan, catalog=catalog, seed=recipe.seed, classes=recipe.classes)
    pins = recorded_pins((plan.dataset, *plan.steps), shipped=False)
    if pins["weights"]:  # what the recipe is held to wherever it goes
        content["record"] = pins
    return to_toml(content)


def page_of(directory: Path) -> Path | None:
    """The report page; a run is worth more than its page, so a failure is only told."""
    from segkit.errors import SegkitError
    from segkit.reporting import write_report

    try:
        return write_report(directory)
    except (OSError, SegkitError) as error:
        said = str(error) if isinstance(error, SegkitError) else error.strerror
        echo(f"Warning: {said}", err=True)
        return None


def third_party(catalog: Catalog) -> list[Watcher]:
    """The installed observers; one that cannot be loaded is left out and named."""
    watchers, broken = catalog.watchers()
    for sentence in broken:
        echo(f"Warning: {sentence}; it does not watch this run", err=True)
    return watchers


def save(path: Path, text: str) -> None:
    """Write what --save asks for."""
    from segkit.values.files import write_file

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, text)
    except OSError as error:
        raise UsageError(f"--save {path} cannot be written: {error.strerror or error}") from None


def new_folder() -> Path:
    """segkit-out/TIME, with a number behind it if two runs start in one second."""
    import time

    first = Path("segkit-out", time.strftime("%Y-%m-%dT%H-%M-%S"))
    folder, number = first, 1
    while folder.exists():
        number += 1
        folder = first.with_name(f"{first.name}-{number}")
    return folder
