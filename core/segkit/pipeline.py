"""The same from Python: `Pipeline` for pictures at hand, `sweep` to compare pipelines.

from segkit import Pipeline, sweep

pipeline = Pipeline(prompt="topk", options={"topk.k": 3})
result = pipeline("photo.jpg")      # in a notebook: the picture
result.labels.ids                   # (H, W) int32
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import PrivateAttr

from segkit.comparing.leaderboard import Leaderboard
from segkit.comparing.sweep import Shown, sweep_plans
from segkit.errors import SegkitError, UsageError
from segkit.kinds import BUNDLED, IN_RECIPES, PICTURE_WRITER
from segkit.plugins.catalog import Catalog
from segkit.plugins.observers import Observers
from segkit.plugins.steps import Dataset, Step
from segkit.reporting import write_report
from segkit.running.engines.local import Local, Opened
from segkit.running.job import Job
from segkit.running.options import RunOptions, device_named
from segkit.running.plan import Plan
from segkit.running.recipe import Part, Recipe, make_step
from segkit.running.recipe_files import recipe_file, starting_recipe
from segkit.running.session import Session
from segkit.running.walk import Outcome
from segkit.values.images import distinct, read_image
from segkit.values.types import Heatmap, Image, Labels, Masks, Prompts, Truth

Steps: TypeAlias = "str | Step | Sequence[str | Step | Sequence[str | Step]] | None"
"""A plugin's name (prompters: also `a+b`), a step, several, `"none"`; None: the default.

Among several prompters, a sequence of them makes one prompt together, as `a+b` does.
"""

Picture: TypeAlias = "str | Path | NDArray[np.uint8] | Image | Any"
"""A file, pixels (H, W, 3) uint8 RGB, an `Image`, or a picture of Pillow."""


@dataclass(frozen=True)
class Result:
    """What a pipeline made of one picture. A notebook shows it as the picture of all steps."""

    image: Image
    heatmaps: tuple[Heatmap, ...] = ()
    prompts: Prompts | None = None
    masks: Masks | None = None
    labels: Labels | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Step to seconds."""
    left_out: int = 0
    """How many masks were judged too weak for `least_quality`."""
    _catalog: Catalog = field(default_factory=Catalog, repr=False, compare=False)

    @property
    def quality(self) -> float | None:
        """How good a judge holds the masks for together (`Masks.overall`); None without one."""
        return None if self.masks is None else self.masks.overall

    def picture(self) -> bytes:
        """A JPEG of image, heatmap, overlay and mask with its prompts, side by side."""
        writer: Any = make_step(self._catalog, "writer", f"{BUNDLED}:{PICTURE_WRITER}", {})
        there = {
            name: getattr(self, name)
            for name in ("image", "heatmaps", "prompts", "masks", "labels")
            if getattr(self, name) is not None
        }
        with tempfile.TemporaryDirectory() as folder:
            (path,) = writer.write(directory=Path(folder), **there)
            return bytes(path.read_bytes())

    def _repr_jpeg_(self) -> bytes:
        return self.picture()


class Pipeline:
    """Steps from image to labels, kept loaded from call to call.

    Steps are named as on the command line, `options` as its flags (`{"topk.k": 3}`); what is left
    out is the command line's default. `recipe`, to start from, is the name of one that comes with
    segkit, a file or a `Recipe`. Models are loaded at the first picture; `close()`, or the end of a
    `with` block, drops them. `trust_torchscript` lets a recipe's file name a TorchScript, which is
    a program and can do all that you may.

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
        given["classes"] = None if classes is None else tuple(classes)
        given["trust_torchscript"] = trust_torchscript or None
        start = replace(start, **{key: value for key, value in given.items() if value is not None})
        parts = {kind: _parts(chosen) for kind, chosen in steps.items() if chosen is not None}
        self.recipe = replace(start, parts={**start.parts, **parts})
        for flag, value in (options or {}).items():
            self.recipe = _with_option(self.recipe, flag, value)
        self._plan = self.plan(_Given())
        self._stack = ExitStack()
        self._opened: Opened | None = None

    def plan(
        self, dataset: Dataset, *, metrics: Sequence[Step] | None = None, write: bool = False
    ) -> Plan:
        """The plan for a data set; with the metrics that fit it where it has truth.

        `write`: with the writers that the recipe has, by default those of masks and overlays.
        """
        parts = {**self.recipe.parts, "dataset": (Part(dataset.name, step=dataset),)}
        if metrics is not None or isinstance(dataset, _Given):
            parts["metric"] = tuple(Part(m.name, step=m) for m in metrics or ())
        built = replace(self.recipe, parts=parts).build(self.catalog)
        return built if write else replace(built, writers=())

    def __call__(self, picture: Picture) -> Result:
        """Segment one picture. Raises `SegkitError` with the reason if a step fails."""
        return next(self.each([picture]))

    def each(self, pictures: Iterable[Picture]) -> Iterator[Result]:
        """Segment pictures one after another."""
        for picture in pictures:
            image = _image(picture)
            outcome = self._outcome(image)
            if outcome.error is not None:
                raise SegkitError(outcome.error)
            yield Result(
                image,
                outcome.heatmaps,
                outcome.prompts,
                outcome.masks,
                outcome.labels,
                outcome.seconds,
                outcome.left_out,
                self.catalog,
            )

    def run(
        self,
        dataset: Dataset,
        directory: str | Path,
        *,
        chunk: int | None = None,
        resume: bool = False,
        overwrite: bool = False,
        observers: Iterable[object] = (),
    ) -> dict[str, Any]:
        """Run over a data set as `segkit run` does, and return summary.json.

        The other arguments are those of `segkit.run`.
        """
        options = replace(
            self._options, chunk=chunk, resume=resume, overwrite=overwrite, observers=observers
        )
        plans = {"run": self.plan(dataset, write=True)}
        summary = Session(Job(plans, Path(directory), nested=False), options).run()["run"]
        write_report(Path(directory), self.catalog)
        return summary

    @property
    def _options(self) -> RunOptions:
        """How it is run: the recipe's settings on its device."""
        recipe, device = self.recipe, device_named(self.device)
        return RunOptions(recipe.seed, device, recipe.classes, catalog=self.catalog)

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

    def _outcome(self, image: Image) -> Outcome:
        job = Job({"": replace(self._plan, dataset=_Given.of(image))}, Path(), nested=False)
        if self._opened is None:
            opened = Local().opened(job, self._options, Observers())
            self._opened = self._stack.enter_context(opened)
        self._opened.job = job
        return next(self._opened.outcomes([image.name], {}))


def sweep(
    pipelines: Mapping[str, Pipeline],
    dataset: Dataset,
    directory: str | Path | None = None,
    *,
    sort_by: str | None = None,
    metrics: Sequence[Step] | None = None,
    chunk: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    observers: Iterable[object] = (),
) -> Leaderboard:
    """Compare pipelines on one data set in one run; what they have in common is computed once.

    `directory` keeps what `segkit sweep` leaves (left out: nothing is kept); `metrics` default to
    all that fit; the other arguments are those of `segkit.run`. Seed, classes and device are the
    first one's.
    """
    if not pipelines:
        raise UsageError("there is nothing to compare; give at least one pipeline")
    first = next(iter(pipelines.values()))
    plans = {
        name: pipeline.plan(dataset, metrics=metrics, write=directory is not None)
        for name, pipeline in pipelines.items()
    }
    with tempfile.TemporaryDirectory() as scratch:
        options = replace(
            first._options, chunk=chunk, resume=resume, overwrite=overwrite, observers=observers
        )
        board = sweep_plans(plans, Path(directory or scratch), options, Shown(sort_by))
        if directory is not None:
            write_report(Path(directory), first.catalog)
        return board


class _Given(Dataset):
    """Pictures at hand."""

    name = "given"
    _images: tuple[Image, ...] = PrivateAttr(())

    @classmethod
    def of(cls, *images: Image) -> _Given:
        """A data set of these."""
        given = cls()
        given._images = images
        return given

    @property
    def names(self) -> Sequence[str]:
        return distinct([image.name for image in self._images])

    @property
    def has_truth(self) -> bool:
        return False

    def __getitem__(self, index: int) -> tuple[Image, Truth | None]:
        return self._images[index], None


def _image(picture: Picture) -> Image:
    if isinstance(picture, Image):
        return picture
    if isinstance(picture, (str, Path)):
        return read_image(Path(picture))
    if not isinstance(picture, np.ndarray):
        convert = getattr(picture, "convert", None)  # Pillow's
        if convert is None:
            raise UsageError(
                f"a pipeline takes a file, pixels (H, W, 3) uint8, an Image or a Pillow picture, "
                f"but was given a {type(picture).__name__}"
            )
        picture = np.asarray(convert("RGB"))
    return Image(picture, "image")


def _parts(steps: Steps) -> tuple[Part, ...]:
    """Named or given steps as a recipe's parts."""
    several = [steps] if isinstance(steps, (str, Step)) else list(steps or ())
    parts: list[Part] = []
    for together in several:
        group = [together] if isinstance(together, (str, Step)) else together
        merged: list[Part] = []
        for step in group:
            if isinstance(step, Step):
                merged.append(Part(step.name, step=step))
            elif step != "none":
                merged += [Part(name) for name in step.split("+")]
        parts += [replace(part, merge=place > 0) for place, part in enumerate(merged)]
    return tuple(parts)


def _with_option(recipe: Recipe, flag: str, value: Any) -> Recipe:
    """The recipe with one option, named as its flag is: `topk.k`."""
    name, _, option = flag.removeprefix("--").rpartition(".")
    for kind in IN_RECIPES:
        parts = recipe.parts.get(kind, recipe.defaults(kind))
        there = [p.name.rpartition(":")[2] for p in parts]
        if name in there:
            return recipe.with_options(kind, name, {option.replace("-", "_"): value})
    raise UsageError(f"'{flag}' is an option of a plugin that takes no part; choose it too")
