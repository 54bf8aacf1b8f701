"""The commands of the command line as functions: they take steps and pipelines, and give results.

import segkit

shapes = segkit.dataset("shapes", count=20)
segkit.describe(shapes)
board = segkit.sweep({name: segkit.Pipeline(prompt=name) for name in ("topk", "maxmin")}, shapes)
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from segkit.comparing.damage import perturbations_named
from segkit.comparing.damaged_run import examine_plans
from segkit.comparing.diagnosis import diagnose_plans
from segkit.comparing.leaderboard import Leaderboard
from segkit.comparing.merged import merge_shards
from segkit.comparing.records import Diagnosis
from segkit.comparing.robustness_records import Robustness
from segkit.comparing.seeds import sweep_seeds
from segkit.comparing.sweep import Shown, sweep_plans
from segkit.deprecations import SegkitWarning
from segkit.errors import UsageError, did_you_mean
from segkit.kinds import KINDS
from segkit.pipeline import Pipeline
from segkit.plugins.catalog import Catalog
from segkit.plugins.steps import Dataset, Perturbation, Step
from segkit.reporting import write_report
from segkit.reporting.describe import Description
from segkit.reporting.describe_page import files_asked_for, write_description_files
from segkit.running.engines.choosing import EngineLike
from segkit.running.merge import Merged
from segkit.running.options import RunOptions, device_named
from segkit.running.plan import Plan
from segkit.running.recipe import make_step

if TYPE_CHECKING:
    from segkit.plugins.trainable import Trainable
    from segkit.training.progress import TrainingResult, Watcher

Pipelines: TypeAlias = "Pipeline | Mapping[str, Pipeline]"
"""One pipeline, or several by name; a name is also that of its folder."""


# ---- steps by name -----------------------------------------------------------------------------


def step(
    name: str, /, *, kind: str | None = None, catalog: Catalog | None = None, **options: Any
) -> Step:
    """A step by its plugin's name, with its options: `segkit.step("topk", k=3)`.

    `name`: also `distribution:name`. `kind`, such as `"segmenter"`, where plugins of two kinds have
    the name. `catalog`: where plugins are looked for, by default all that is installed.

    Raises `UsageError` for a name or an option that there is not and for a name of several kinds,
    `PluginError` for a plugin that cannot be loaded.
    """
    catalog = catalog or Catalog()
    if kind is None:
        kind = _kind_of(catalog, name)
    elif kind not in KINDS:
        hint = did_you_mean(kind, list(KINDS), f"there is {', '.join(KINDS)}")
        raise UsageError(f"there is no kind '{kind}' of steps; {hint}")
    return make_step(catalog, kind, name, options)


def dataset(name: str, /, *, catalog: Catalog | None = None, **options: Any) -> Dataset:
    """A data set by its plugin's name, with its options: `segkit.dataset("shapes", count=4)`.

    As `step` with `kind="dataset"`.
    """
    made = step(name, kind="dataset", catalog=catalog, **options)
    assert isinstance(made, Dataset)
    return made


def _kind_of(catalog: Catalog, name: str) -> str:
    """The one kind that has a plugin of this name. Raises `UsageError` for none and several."""
    usable = [e for e in catalog.entries() if e.kind in KINDS and e.status != "bad name"]
    kinds = list(dict.fromkeys(e.kind for e in usable if name in (e.name, e.full_name)))
    if len(kinds) > 1:
        choices = " or ".join(f"kind='{kind}'" for kind in kinds)
        raise UsageError(f"'{name}' is a plugin of several kinds; say which: {choices}")
    if not kinds:
        hint = did_you_mean(name, [e.name for e in usable], "segkit list-plugins shows all")
        raise UsageError(f"there is no plugin '{name}'; {hint}")
    return kinds[0]


# ---- comparing ---------------------------------------------------------------------------------


def sweep(
    pipelines: Pipelines,
    dataset: Dataset,
    directory: str | Path | None = None,
    *,
    sort_by: str | None = None,
    metrics: Sequence[Step] | None = None,
    seeds: Sequence[int] | None = None,
    chunk: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    observers: Iterable[object] = (),
    engine: EngineLike = None,
    shard: str | None = None,
) -> Leaderboard:
    """Compare pipelines on one data set in one run; what they have in common is computed once.

    `directory` keeps what `segkit sweep` leaves (left out: nothing is kept); `metrics` default to
    all that fit; the other arguments are those of `segkit.run`. Seed, classes and device are the
    first one's. `seeds`, two or more: once for each of these in place of the pipelines' own, of the
    steps and of generated pictures; figures are then means over them, with their spread.

    Raises `UsageError` where nothing can be compared, for a figure that no metric gives, for seeds
    that are fewer than two or change nothing, and for a folder that cannot be used.
    """
    how = _How(chunk, resume, overwrite, observers, engine, shard)
    with _compared(pipelines, dataset, directory, metrics, how) as asked:
        shown = Shown(sort_by)
        if seeds is None:
            return sweep_plans(asked.plans, asked.directory, asked.options, shown)
        return sweep_seeds(asked.plans, asked.directory, asked.options, shown, seeds=seeds)


def diagnose(
    pipelines: Pipelines,
    dataset: Dataset,
    directory: str | Path | None = None,
    *,
    sort_by: str | None = None,
    metrics: Sequence[Step] | None = None,
    chunk: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    observers: Iterable[object] = (),
    engine: EngineLike = None,
    shard: str | None = None,
) -> Diagnosis:
    """Say where pipelines lose their IoU: to selection, prompt (saliency, placement), segmenter.

    As `segkit diagnose` does; the arguments are those of `sweep`. Raises `PlanError` for a data set
    without truth, and where no pipeline asks a segmenter by prompts.
    """
    how = _How(chunk, resume, overwrite, observers, engine, shard)
    with _compared(pipelines, dataset, directory, metrics, how) as asked:
        return diagnose_plans(asked.plans, asked.directory, asked.options, Shown(sort_by))


def robustness(
    pipelines: Pipelines,
    dataset: Dataset,
    directory: str | Path | None = None,
    *,
    perturbations: Sequence[str | Perturbation] | None = None,
    levels: int = 4,
    sort_by: str | None = None,
    metrics: Sequence[Step] | None = None,
    chunk: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    observers: Iterable[object] = (),
    engine: EngineLike = None,
    shard: str | None = None,
) -> Robustness:
    """Say what pipelines bear: their figures under damage to images or prompts, level by level.

    As `segkit robustness` does. `perturbations`: names or steps, or `["all"]`; left out, those of
    the command. `levels`, 1 to 50, beside none. The curves are of `sort_by`, left out of the first
    of `metrics`, or else iou. The other arguments are those of `sweep`.
    """
    if not isinstance(levels, int) or not 1 <= levels <= 50:
        raise UsageError(f"levels should be a whole number from 1 to 50, but is {levels!r}")
    how = _How(chunk, resume, overwrite, observers, engine, shard)
    with _compared(pipelines, dataset, directory, metrics, how) as asked:
        steps = _perturbations(asked.catalog, perturbations)
        figure = sort_by or (metrics[0].name if metrics else None)
        return examine_plans(
            asked.plans,
            asked.directory,
            asked.options,
            Shown(figure),
            perturbations=steps,
            levels=levels,
        )


def _perturbations(
    catalog: Catalog, wanted: Sequence[str | Perturbation] | None
) -> list[Perturbation]:
    """Names and steps as steps."""
    several = [wanted] if isinstance(wanted, (str, Perturbation)) else wanted or ()
    steps = [one for one in several if isinstance(one, Perturbation)]
    names = [one for one in several if isinstance(one, str)]
    if names or not steps:
        for name in perturbations_named(names, catalog):
            made = make_step(catalog, "perturbation", name, {})
            assert isinstance(made, Perturbation)
            steps.append(made)
    return steps


@dataclass(frozen=True)
class _Compared:
    """What pipelines come to that are run together."""

    plans: Mapping[str, Plan]
    directory: Path
    options: RunOptions
    catalog: Catalog


@dataclass(frozen=True)
class _How:
    """How pipelines are run, beside what is their own."""

    chunk: int | None
    resume: bool
    overwrite: bool
    observers: Iterable[object]
    engine: EngineLike
    shard: str | None

    def options(self, pipeline: Pipeline) -> RunOptions:
        """The whole of it for a pipeline."""
        how = {name: getattr(self, name) for name in ("chunk", "resume", "overwrite", "observers")}
        return pipeline._run_options(self.engine, self.shard, how)


@contextmanager
def _compared(
    pipelines: Pipelines,
    dataset: Dataset,
    directory: str | Path | None,
    metrics: Sequence[Step] | None,
    how: _How,
) -> Iterator[_Compared]:
    """The pipelines as plans; when they have run, the report of a folder that is kept."""
    several = {"pipeline": pipelines} if isinstance(pipelines, Pipeline) else pipelines
    if not isinstance(several, Mapping) or not all(
        isinstance(pipeline, Pipeline) for pipeline in several.values()
    ):
        raise UsageError(
            "pipelines should be one, or several by their names, such as {'topk': "
            "segkit.Pipeline(prompt='topk')}"
        )
    if not several:
        raise UsageError("there is nothing to compare; give at least one pipeline")
    if not isinstance(dataset, Dataset):
        raise UsageError(
            f"the data set should be one, such as segkit.dataset('files', paths=['photos']), but "
            f"is a {type(dataset).__name__}"
        )
    first = next(iter(several.values()))
    plans = {
        name: pipeline.plan(dataset, metrics=metrics, write=directory is not None)
        for name, pipeline in several.items()
    }
    with tempfile.TemporaryDirectory() as scratch:
        options = how.options(first)
        yield _Compared(plans, Path(directory or scratch), options, first.catalog)
        if directory is not None:
            write_report(Path(directory), first.catalog)


# ---- shards ------------------------------------------------------------------------------------


def merge(
    directories: Iterable[str | Path],
    output: str | Path,
    *,
    overwrite: bool = False,
    catalog: Catalog | None = None,
) -> Merged:
    """Make one run of the runs of shards, as `segkit merge` does; sweeps and diagnoses likewise.

    `directories` are only read; `output` is there as a whole or not at all. What is missing or
    there twice is in what is given back, and a `SegkitWarning`.

    Raises `UsageError` for folders that are no runs, are in use or differ in recipe, versions,
    weights or number of shards, and where `output` is not free; with `overwrite` it may hold a run.
    """
    places = [Path(directory) for directory in directories]
    merged = merge_shards(places, Path(output), overwrite=overwrite, catalog=catalog)
    for note in merged.notes:
        warnings.warn(note, SegkitWarning, stacklevel=2)
    write_report(Path(output), catalog)
    return merged


# ---- data sets and training --------------------------------------------------------------------


def describe(dataset: Dataset, output: str | Path | None = None) -> Description:
    """Say what a data set holds: images, classes, objects, sizes, void, and what is wrong with it.

    `output`, as `-o` of `segkit describe`: FILE.html or FILE.json, or a folder for both; left out,
    nothing is written.
    """
    files = files_asked_for(None if output is None else str(output))
    description = Description.of(dataset)
    for _ in description.look(dataset):
        pass
    write_description_files(description, files)
    return description


def train(
    segmenter: str | Trainable,
    datasets: Dataset | Sequence[Dataset],
    path: str | Path,
    *,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    on_epoch: Callable[[Mapping[str, Any]], None] | None = None,
    catalog: Catalog | None = None,
    **settings: Any,
) -> TrainingResult:
    """Train a segmenter's network on data with truth and write its weights, as `segkit train` does.

    `segmenter`: a name such as `"unet"`, or a step with options of its own. `path`: the file of the
    weights, `.safetensors`; beside it come curves, a card and a recipe. `settings` are the options
    `--train.…`, such as `epochs=5` and `size=64`. `on_epoch` is called after each epoch with its
    row of the curves. What else there is to tell, such as images that were left out, is a
    `SegkitWarning`.

    Raises `UsageError` for data that nothing can be learnt from, for options that do not fit and
    for files that are in the way, `MissingExtraError` without the extra `train`.
    """
    from segkit.plugins.trainable import Trainable
    from segkit.training.choosing import check_untrained, make_settings, trainable

    network = segmenter
    if isinstance(segmenter, str):
        catalog = catalog or Catalog()
        trainable(catalog, segmenter)
        network = make_step(catalog, "segmenter", segmenter, {})  # type: ignore[assignment]
    if not isinstance(network, Trainable):
        raise UsageError(f"{network!r} has no network that segkit trains; choose one such as unet")
    check_untrained(network)
    several = [datasets] if isinstance(datasets, Dataset) else list(datasets)
    if not several:
        raise UsageError("a training needs data with truth; give a data set, such as shapes")
    chosen = make_settings(settings)
    from segkit.training.loop import train as run_training

    return run_training(
        network,
        several,
        Path(path),
        chosen,
        seed=seed,
        device=device_named(device),
        resume=resume,
        overwrite=overwrite,
        watch=_watcher(on_epoch),
    )


def _watcher(on_epoch: Callable[[Mapping[str, Any]], None] | None) -> Watcher:
    """What tells of a training: epochs to `on_epoch`, all else as warnings."""
    from segkit.training.progress import Watcher

    class Told(Watcher):
        def epoch(self, row: Mapping[str, Any]) -> None:
            if on_epoch is not None:
                on_epoch(row)

        def note(self, text: str) -> None:
            warnings.warn(text, SegkitWarning, stacklevel=2)

    return Told()
