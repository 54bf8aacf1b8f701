"""What travels to a worker: recipes as text, names of images, plugins as files; no model.

A worker makes the job anew from it, and says what it has made it of, so that the driver can refuse
one that would make something else.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segkit.errors import PluginError, UsageError
from segkit.kinds import OBSERVER
from segkit.plugins.catalog import Catalog
from segkit.plugins.steps import Step
from segkit.running.job import Job
from segkit.running.options import RunOptions, device_named
from segkit.running.plan import Plan
from segkit.running.recipe import Recipe
from segkit.running.recipe_record import to_toml, written_out
from segkit.values.reading import parsed_toml

WEIGHTS = "the weights "
"""What the words for a weight file begin with; see `sameness`."""


@dataclass(frozen=True)
class Parcel:
    """A job on its way to a worker."""

    kind: type[Job]
    settings: Mapping[str, Any]
    """See `Job.settings`."""
    recipes: Mapping[str, str]
    """Recipe to its TOML, every default written out."""
    directory: str
    seed: int
    device: str
    """As it was asked for: `auto` is what the worker has."""
    classes: tuple[str, ...]
    chunk: int | None
    plugins: Mapping[str, bytes]
    """Path of each plugin's file to its content."""
    only: tuple[str, ...]
    third_party: bool
    folder: str
    """The folder that relative paths start from."""


def with_plugins(job: Job, catalog: Catalog | None) -> Catalog:
    """A catalog that knows where each step's class came from, though another has made the step."""
    catalog = catalog or Catalog()
    for step in _steps(job):
        if catalog.origin(type(step)) is None:
            with suppress(UsageError, PluginError):
                catalog.load(step.kind, step.name)
    return catalog


def check_plugins(job: Job, catalog: Catalog) -> None:
    """Raise `UsageError` for a step that no plugin is, such as a script's: no process finds it."""
    for step in _steps(job):
        if catalog.origin(type(step)) is None:
            raise UsageError(
                f"{step.name} is the class {type(step).__name__} of {type(step).__module__} and no "
                "plugin, which workers could not find; give its file by --plugin (from Python "
                "Pipeline(catalog=segkit.Catalog(files=…)) and its name), or leave out the engine"
            )


def _steps(job: Job) -> list[Step]:
    """All steps of a job, those that are in no plan too."""
    steps = [step for plan in job.plans.values() for step in (plan.dataset, *plan.steps)]
    return [*steps, *job.steps]


def packed(job: Job, options: RunOptions) -> Parcel:
    """The job for a worker.

    Raises `UsageError` where a plugin's file cannot be read, or the images are named on standard
    input, which a worker does not have.
    """
    for option in type(job.dataset).model_fields:
        if getattr(job.dataset, option) == Path("-"):
            flag = f"--{job.dataset.name}.{option.replace('_', '-')}"
            raise UsageError(
                f"{flag} - is standard input, which workers do not have; write the list to a file "
                "and name that"
            )
    catalog = options.catalog or Catalog()
    try:
        plugins = {str(path): path.read_bytes() for path in catalog.files}
    except OSError as error:
        raise UsageError(f"--plugin {error.filename} cannot be read: {error.strerror}") from None
    return Parcel(
        type(job),
        job.settings(options),
        {name: _text(plan, options) for name, plan in job.plans.items()},
        str(job.directory),
        options.seed,
        options.device,
        tuple(options.classes),
        options.chunk,
        plugins,
        catalog.only,
        catalog.third_party,
        str(Path.cwd()),
    )


def unpacked(parcel: Parcel) -> tuple[Job, RunOptions]:
    """The job in the worker, with its steps closed.

    Raises `UsageError` and `PluginError` as building a recipe does.
    """
    catalog = Catalog(parcel.third_party, tuple(_files(parcel.plugins)), parcel.only)
    recipes = {n: Recipe.from_dict(parsed_toml(text)) for n, text in parcel.recipes.items()}
    plans = {name: recipe.build(catalog) for name, recipe in recipes.items()}
    options = RunOptions(
        parcel.seed,
        device_named(parcel.device),
        parcel.classes,
        parcel.chunk,
        catalog=catalog,
    )
    return parcel.kind.of_settings(plans, Path(parcel.directory), options, parcel.settings), options


def _files(plugins: Mapping[str, bytes]) -> list[Path]:
    """The plugins' files: those that lie where the driver has them, or else copies."""
    paths = []
    for name, content in plugins.items():
        path = Path(name)
        try:
            same = path.is_file() and path.read_bytes() == content
        except OSError:
            same = False
        if not same:
            path = Path(tempfile.mkdtemp(prefix="segkit-plugin-"), path.name)
            path.write_bytes(content)
        paths.append(path)
    return paths


def _text(plan: Plan, options: RunOptions) -> str:
    content = written_out(plan, catalog=options.catalog, seed=options.seed, classes=options.classes)
    return to_toml(content)


# ---- the same on both sides --------------------------------------------------------------------


def sameness(job: Job, options: RunOptions) -> dict[str, str]:
    """What driver and worker need to have alike, by the words that a sentence has for it."""
    told: dict[str, str] = {}
    for name, plan in job.plans.items():
        record = options.content(plan)["record"]
        told["segkit"] = record["segkit"]
        for row in record["plugins"]:
            if row["kind"] != OBSERVER:
                told[f"the plugin {row['name']} of {row['distribution']}"] = row["version"]
        for row in record["distributions"]:
            if "sha256" in row:
                told[f"the plugin file {row['distribution']}.py"] = row["sha256"]
        told |= _weights(record)
        text = _text(plan, options).encode("utf-8", "replace")
        told[f"the recipe {name}"] = f"SHA-256 {hashlib.sha256(text).hexdigest()}"
    return told


def weights_alike(job: Job, options: RunOptions) -> dict[str, str]:
    """Those of them that may come to be only when steps are opened, which fetch their weights."""
    told: dict[str, str] = {}
    for plan in job.plans.values():
        told |= _weights(options.content(plan)["record"])
    return told


def _weights(record: Mapping[str, Any]) -> dict[str, str]:
    return {f"{WEIGHTS}{file}": f"SHA-256 {d}" for file, d in record["weights"].items()}


def difference(here: Mapping[str, str], there: Mapping[str, str], where: str) -> str | None:
    """Why a worker cannot work for this driver; None where it has all alike."""
    for what in dict.fromkeys((*here, *there)):
        mine, other = here.get(what, "none"), there.get(what, "none")
        if mine != other:
            return (
                f"the worker on {where} has {what} as {_short(other)}, but here it is "
                f"{_short(mine)}; give both the same"
            )
    return None


def _short(value: str) -> str:
    return value if len(value) < 30 else f"{value[:20]}…"


# ---- what is to be done ------------------------------------------------------------------------


@dataclass(frozen=True)
class Item:
    """An image as it is told to a worker."""

    place: int
    """Its index in the data set, where that is the same on both sides."""
    own: str
    """Its name in the data set."""
    name: str
    """Its name in the run."""
    recipes: tuple[str, ...]
    """Those that have not done it."""
    from_files: bool
    """Whether the driver knows its files, so that no hash of its pixels is needed."""


@dataclass(frozen=True)
class Chunk:
    """Images that are handed to a worker together."""

    number: int
    items: tuple[Item, ...]
    leads: bool = False
    """Whether the first good image of the run is looked for in it; see `Job.led`."""


Lines = Sequence[tuple[str, Mapping[str, Any]]]
"""Lines of results.jsonl, each with its recipe."""
