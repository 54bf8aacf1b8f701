"""The same from Python: `Pipeline` for pictures at hand; the commands are in `segkit.commands`.

from segkit import Pipeline

pipeline = Pipeline(prompt="topk", options={"topk.k": 3})
result = pipeline("photo.jpg")      # in a notebook: the picture
result.labels.ids                   # (H, W) int32
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias

from segkit.deprecations import SegkitWarning
from segkit.errors import PlanError, SegkitError, UsageError
from segkit.kinds import IN_RECIPES
from segkit.plugins.catalog import Catalog
from segkit.plugins.contract import has_truth
from segkit.plugins.observers import Observers
from segkit.plugins.steps import Dataset, Step
from segkit.reporting import write_report
from segkit.result import Result
from segkit.running.engines.choosing import EngineLike, engine_of
from segkit.running.engines.local import Local, Opened
from segkit.running.given import Given, Picture
from segkit.running.job import Job
from segkit.running.options import RunOptions, check_chunk, device_named
from segkit.running.plan import Plan, asks
from segkit.running.recipe import Part, Recipe, check_settings, with_run_settings
from segkit.running.recipe_files import recipe_file, starting_recipe
from segkit.running.session import Session
from segkit.running.shards import Shard
from segkit.running.walk import Outcome, opened
from segkit.values.images import find_images
from segkit.values.types import Truth

Steps: TypeAlias = "str | Step | Sequence[str | Step | Sequence[str | Step]] | None"
"""A plugin's name (prompters: also `a+b`), a step, several, `"none"`; None: the default.

Among several prompters, a sequence of them makes one prompt together, as `a+b` does.
"""

Errors: TypeAlias = Literal["raise", "warn"]
"""What becomes of a picture that cannot be segmented."""

Pictures: TypeAlias = "str | Path | Dataset | Iterable[Picture]"
"""A folder or pattern, a data set, or pictures one after another."""


class Pipeline:
    """Steps from image to labels, kept loaded from call to call.

    Steps are named as on the command line, `options` as its flags (`{"topk.k": 3}`); what is left
    out is the command line's default. `recipe`, to start from, is the name of one that comes with
    segkit, a file or a `Recipe`. Models are loaded at the first picture; `close()`, or the end of a
    `with` block, drops them. With `tile`, saliency methods and segmenters see larger pictures in
    tiles of that side, which `overlap` by so many pixels. `trust_torchscript` lets a recipe's file
    name a TorchScript, which is a program and can do all that you may.

    Raises `UsageError` and `PluginError` as the command line does.
    """

    def __init__(
        self,
        recipe: str | Path | Recipe | None = None,
        *,
        saliency: Steps = None,
        transform: Steps = None,
        prompt: Steps = None,
        segmenter: Steps = None,
        judge: Steps = None,
        select: Steps = None,
        fuser: Steps = None,
        options: Mapping[str, Any] | None = None,
        seed: int | None = None,
        rounds: int | None = None,
        least_quality: float | None = None,
        tile: int | None = None,
        overlap: int | None = None,
        classes: Sequence[str] | None = None,
        trust_torchscript: bool = False,
        device: str = "auto",
        catalog: Catalog | None = None,
    ) -> None:
        self.catalog = catalog or Catalog()
        self.device = device
        steps = {
            "saliency": saliency,
            "transform": transform,
            "prompt": prompt,
            "segmenter": segmenter,
            "judge": judge,
            "selector": select,
            "fuser": fuser,
        }
        if recipe is None:
            start = starting_recipe([kind for kind, chosen in steps.items() if chosen is not None])
        else:
            start = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe_file(recipe))
        given: dict[str, Any] = {"seed": seed, "rounds": rounds, "least_quality": least_quality}
        given |= {"tile": tile, "overlap": overlap, "classes": classes}
        given["trust_torchscript"] = trust_torchscript or None
        given = {key: value for key, value in given.items() if value is not None}
        check_settings(given, "the pipeline")
        given |= {"classes": tuple(classes)} if classes else {}
        start = with_run_settings(start, given)
        parts = {kind: _parts(kind, some) for kind, some in steps.items() if some is not None}
        self.recipe = replace(start, parts={**start.parts, **parts})
        for flag, value in (options or {}).items():
            self.recipe = _with_option(self.recipe, flag, value)
        self._plan = self.plan(_WithTruth())
        self._stack = ExitStack()
        self._opened: Opened | None = None

    def plan(
        self, dataset: Dataset, *, metrics: Sequence[Step] | None = None, write: bool = False
    ) -> Plan:
        """The plan for a data set; with the metrics that fit it where it has truth.

        `write`: with the writers that the recipe has, by default those of masks and overlays.
        """
        parts = {**self.recipe.parts, "dataset": (Part(dataset.name, step=dataset),)}
        if metrics is not None or isinstance(dataset, Given):
            parts["metric"] = tuple(Part(m.name, step=m) for m in metrics or ())
        built = replace(self.recipe, parts=parts).build(self.catalog)
        return built if write else replace(built, writers=())

    def __call__(self, picture: Picture, *, truth: Truth | None = None) -> Result:
        """Segment one picture; `truth`: what is really in it, for the result's `scores`.

        The classes that a truth names have the same ids in the result.

        Raises `BadImageError` where it cannot be read, `SegkitError` where a step fails.
        """
        return next(self._results([Given.of([picture], truth)], None, warn=False))

    def each(
        self,
        pictures: Pictures,
        *,
        chunk: int | None = None,
        errors: Errors = "raise",
    ) -> Iterator[Result]:
        """Segment pictures in batches; results come in order, equal to those of single calls.

        `pictures`: a folder or a pattern such as `"photos/**/*.jpg"`; a data set, whose truth the
        results then have; or pictures one after another, also from a generator, of which `chunk`
        are read at a time. `chunk`: how many are worked on together, by default 4, on a GPU 16.
        `errors`: where a picture cannot be read or a step fails, `"raise"` the reason once all
        results before it are given, or `"warn"` of it and go on with the others.
        """
        if errors not in ("raise", "warn"):
            raise UsageError(f"errors should be 'raise' or 'warn', but is {errors!r}")
        check_chunk(chunk)
        if isinstance(pictures, (str, Path)):
            pictures = find_images([pictures])
        if isinstance(pictures, Dataset):
            sets: Iterable[Dataset] = [pictures]
        elif isinstance(pictures, Sequence):
            sets = [Given.of(pictures)]
        elif isinstance(pictures, Iterable):
            sets = _blocks(pictures, lambda: chunk or self._open().batches.images)
        else:
            raise UsageError(
                "each takes a folder, a data set or several pictures, but was given a "
                f"{type(pictures).__name__}; for one picture call the pipeline itself"
            )
        return self._results(sets, chunk, warn=errors == "warn")

    def run(
        self,
        dataset: Dataset,
        directory: str | Path,
        *,
        chunk: int | None = None,
        resume: bool = False,
        overwrite: bool = False,
        observers: Iterable[object] = (),
        engine: EngineLike = None,
        shard: str | None = None,
    ) -> dict[str, Any]:
        """Run over a data set as `segkit run` does, and return summary.json.

        The other arguments are those of `segkit.run`.
        """
        how = {"chunk": chunk, "resume": resume, "overwrite": overwrite, "observers": observers}
        options = self._run_options(engine, shard, how)
        plans = {"run": self.plan(dataset, write=True)}
        summary = Session(Job(plans, Path(directory), nested=False), options).run()["run"]
        write_report(Path(directory), self.catalog)
        return summary

    @property
    def _options(self) -> RunOptions:
        """How it is run: the recipe's settings on its device."""
        return self._options_on(device_named(self.device))

    def _options_on(self, device: str) -> RunOptions:
        recipe = self.recipe
        return RunOptions(recipe.seed, device, recipe.classes, catalog=self.catalog)

    def _run_options(
        self, engine: EngineLike, shard: str | None, how: Mapping[str, Any]
    ) -> RunOptions:
        """The same for a run by an engine; `how`: what else `RunOptions` has."""
        walks = engine_of(engine)
        # What a worker's machine has is seen there.
        options = self._options if walks is None else self._options_on(self.device)
        return replace(options, engine=walks, shard=Shard.of(shard), **how)

    def close(self) -> None:
        """Drop the loaded models; the next call loads them again."""
        self._stack.close()
        self._opened = None

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Pipeline({self._plan.words.removeprefix('given > ')})"

    def _results(
        self, sets: Iterable[Dataset], chunk: int | None, *, warn: bool
    ) -> Iterator[Result]:
        for dataset in sets:
            self._check_truth(dataset)
            here = self._open().turned_to(self._job(dataset), chunk)
            with opened([dataset], self._options.device):
                for place, outcome in enumerate(here.outcomes(list(dataset.names), {})):
                    if outcome.error is None:
                        yield self._result(outcome, here.classes)
                    elif warn:
                        text = outcome.error
                        text = text if outcome.name in text else f"{outcome.name}: {text}"
                        warnings.warn(f"left out: {text}", SegkitWarning, stacklevel=2)
                    else:
                        raised = dataset.raised if isinstance(dataset, Given) else {}
                        raise raised.get(place) or SegkitError(outcome.error)

    def _check_truth(self, dataset: Dataset) -> None:
        """Refuse pictures without truth where a step cannot do without."""
        for step in () if has_truth(dataset) else self._plan.steps:
            if "truth" in asks(step).required:
                raise PlanError(
                    f"{step.name} needs 'truth', and the pictures have none; give a data set with "
                    "truth, or the truth of the picture"
                )

    def _result(self, outcome: Outcome, classes: Mapping[int, str]) -> Result:
        assert outcome.image is not None  # it was read, for nothing has failed
        values = {name: getattr(outcome, name) for name in _TAKEN_OVER}
        return Result(**values, classes=classes, _catalog=self.catalog)

    def _job(self, dataset: Dataset) -> Job:
        return Job({"": replace(self._plan, dataset=dataset)}, Path(), nested=False)

    def _open(self) -> Opened:
        """The steps, opened if they are not."""
        if self._opened is None:
            opening = Local().opened(self._job(Given()), self._options, Observers())
            self._opened = self._stack.enter_context(opening)
        return self._opened


class _WithTruth(Given):
    """What a pipeline is planned for: pictures of which the truth may be known."""

    name = "given"

    @property
    def has_truth(self) -> bool:
        return True


_TAKEN_OVER = ("image", "heatmaps", "prompts", "masks", "labels", "seconds", "left_out", "truth")
"""What a `Result` has of an `Outcome`."""


def _parts(kind: str, steps: Steps) -> tuple[Part, ...]:
    """Named or given steps as a recipe's parts."""
    parts: list[Part] = []
    for together in _several(steps):
        merged: list[Part] = []
        for step in _several(together):
            if isinstance(step, Step):
                merged.append(Part(step.name, step=step))
            elif not isinstance(step, str):
                raise UsageError(
                    f"{kind} should be a plugin's name, a step, or several of them, but is {step!r}"
                )
            elif step != "none":
                merged += [Part(name) for name in step.split("+")]
        parts += [replace(part, merge=place > 0) for place, part in enumerate(merged)]
    return tuple(parts)


def _several(steps: Any) -> Sequence[Any]:
    """One or more in a sequence."""
    return steps if isinstance(steps, Sequence) and not isinstance(steps, str) else [steps]


def _blocks(pictures: Iterable[Picture], size: Callable[[], int]) -> Iterator[Given]:
    """Pictures that come one after another, so many at a time."""
    coming = iter(pictures)
    while block := list(islice(coming, size())):
        yield Given.of(block)


def _with_option(recipe: Recipe, flag: str, value: Any) -> Recipe:
    """The recipe with one option, named as its flag is: `topk.k`."""
    name, _, option = flag.removeprefix("--").rpartition(".")
    for kind in IN_RECIPES:
        parts = recipe.parts.get(kind, recipe.defaults(kind))
        there = [p.name.rpartition(":")[2] for p in parts]
        if name in there:
            return recipe.with_options(kind, name, {option.replace("-", "_"): value})
    raise UsageError(f"'{flag}' is an option of a plugin that takes no part; choose it too")
