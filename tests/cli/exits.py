"""Steps of every kind that end Python where $AT says, by what $BY says."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import model_validator

from segkit import (
    Counts,
    Dataset,
    Heatmap,
    Image,
    Labels,
    Masks,
    Metric,
    Perturbation,
    Prompt,
    Prompter,
    Prompts,
    Saliency,
    Scores,
    Segmenter,
    Truth,
    Writer,
    hookimpl,
)


class Enough(BaseException):
    """No `Exception`, as panics of compiled libraries are none."""


def at(place: str) -> None:
    """Raise here, if this is the place."""
    if os.environ.get("AT") == place:
        by = os.environ.get("BY", "exit")
        raised = {"exit": SystemExit(0), "generator": GeneratorExit("no more")}
        raised |= {"own": Enough("of it"), "ctrl-c": KeyboardInterrupt()}
        raise raised[by]


at("import")


class Exits:
    """What steps of all kinds do."""

    kind: ClassVar[str]

    @model_validator(mode="after")
    def _options(self) -> Any:
        at(f"{self.kind} options")
        return self

    def open(self, device: str) -> None:
        at(f"{self.kind} open")

    def close(self) -> None:
        at(f"{self.kind} close")

    def weight_files(self) -> Mapping[str, Path]:
        at(f"{self.kind} weight_files")
        return {}

    @classmethod
    def known_weights(cls) -> tuple[()]:
        at(f"{cls.kind} known_weights")
        return ()


class Data(Exits, Dataset):
    """Two pictures of a bright square; the first may be one too many."""

    name = "e-data"

    @property
    def names(self) -> tuple[str, ...]:
        at("names")
        return ("first", "second")

    @property
    def classes(self) -> Mapping[int, str]:
        at("classes")
        return {1: "square"}

    @property
    def groups(self) -> Mapping[str, Mapping[str, str]]:
        at("groups")
        return {}

    @property
    def has_truth(self) -> bool:
        at("has_truth")
        return True

    def __getitem__(self, index: int) -> tuple[Image, Truth | None]:
        if index == 0:
            at("getitem")
        pixels, ids = np.full((12, 16, 3), 20, np.uint8), np.zeros((12, 16), np.int32)
        pixels[3:7, 4:9], ids[3:7, 4:9] = 220, 1
        return Image(pixels, self.names[index]), Truth(Labels(ids, {1: "square"}))


class Heat(Exits, Saliency):
    """Brightness."""

    name = "e-heat"

    def __call__(self, image: Image) -> Heatmap:
        if image.name == "first":
            at("saliency")
        return Heatmap(image.pixels.mean(axis=2) / 255, "square", 0.5)


class Point(Exits, Prompter):
    """A point on the square."""

    name = "e-point"

    def __call__(self, heatmap: Heatmap) -> Prompts:
        at("prompt")
        return Prompts((Prompt(points=[(5, 5)]),))

    def batch(self, inputs: Any) -> list[Any]:
        at("batch")
        return super().batch(inputs)

    def refine(self, prompts: Prompts, masks: Masks) -> Prompts | None:
        at("refine")
        return None


class Lazy(Exits, Prompter):
    """Ends Python where it is only asked what it has."""

    name = "e-lazy"

    def __call__(self, heatmap: Heatmap) -> Prompts:
        return Prompts((Prompt(points=[(5, 5)]),))

    def __getattr__(self, name: str) -> Any:
        if name == "refine":
            raise SystemExit(0)
        return super().__getattr__(name)


class Cut(Exits, Segmenter):
    """Bright pixels."""

    name = "e-cut"

    def encode(self, image: Image) -> Any:
        at("encode")
        return image.pixels

    def __call__(self, encoding: Any, prompts: Prompts) -> Masks:
        at("segmenter")
        masks = np.repeat((encoding[..., 0] > 100)[None], len(prompts), 0)
        return Masks(masks, np.ones(len(prompts)), np.arange(len(prompts)))


class Count(Exits, Metric):
    """Pictures."""

    name = "e-count"

    def count(self, labels: Labels) -> Counts:
        at("count")
        return {"n": 1.0}

    def score(self, counts: Counts) -> Scores:
        at("score")
        if counts["n"] > 1:
            at("score of all")
        return {"e-count": counts["n"]}

    def details(self, counts: Counts, classes: Mapping[int, str]) -> Mapping[str, Any]:
        at("details")
        return {}


class Files(Exits, Writer):
    """None."""

    name = "e-files"

    def write(self, directory: Path, image: Image) -> tuple[Path, ...]:
        at("write")
        return ()

    def finish(self, directory: Path, images: Sequence[str]) -> None:
        at("finish")


class Damage(Exits, Perturbation):
    """Less dark."""

    name = "e-damage"

    def __call__(self, image: Image, level: float) -> Image:
        at("perturbation")
        return Image(np.maximum(image.pixels, np.uint8(20 * level)), image.name)


@hookimpl
def segkit_datasets() -> list[type[Dataset]]:
    at("hook")
    return [Data]


@hookimpl
def segkit_saliency() -> list[type[Saliency]]:
    return [Heat]


@hookimpl
def segkit_prompters() -> list[type[Prompter]]:
    return [Point, Lazy]


@hookimpl
def segkit_segmenters() -> list[type[Segmenter]]:
    return [Cut]


@hookimpl
def segkit_metrics() -> list[type[Metric]]:
    return [Count]


@hookimpl
def segkit_writers() -> list[type[Writer]]:
    return [Files]


@hookimpl
def segkit_perturbations() -> list[type[Perturbation]]:
    return [Damage]


@hookimpl
def segkit_before_image(name: str) -> None:
    at("observer")
