"""Small working steps of every kind, to see what the core does with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import PrivateAttr

from segkit import (
    BadImageError,
    Counts,
    Dataset,
    Fuser,
    Heatmap,
    Image,
    Labels,
    Masks,
    Metric,
    Prompt,
    Prompter,
    Prompts,
    Saliency,
    Scores,
    Segmenter,
    Selector,
    Transform,
    Truth,
    Writer,
)
from segkit.plugins.contract import names_of
from segkit.plugins.observers import Observers
from segkit.running.engines.local import Local
from segkit.running.job import Job
from segkit.running.options import RunOptions


def walk(plans, observers=None, **how):
    """What comes of each image, one after another, of a job without a folder."""
    job = Job(plans, Path(), nested=True)
    with Local().opened(job, RunOptions(**how), observers or Observers()) as here:
        yield from here.outcomes(names_of(job.dataset), dict.fromkeys(plans, ()))


class Squares(Dataset):
    """One bright square in each picture; the pictures named in `bad` cannot be read."""

    name = "squares"
    count: int = 5
    bad: tuple[int, ...] = ()
    truth: bool = True

    @property
    def names(self):
        return [f"square-{i}" for i in range(self.count)]

    @property
    def classes(self):
        return {1: "square"}

    @property
    def has_truth(self):
        return self.truth

    def __getitem__(self, index):
        if index in self.bad:
            raise BadImageError(f"square-{index}: the file is torn; replace it")
        pixels = np.full((12, 16, 3), 20, np.uint8)
        ids = np.zeros((12, 16), np.int32)
        y, x = 1 + index % 5, 2 + index % 7
        pixels[y : y + 4, x : x + 4] = 200 + index % 40
        ids[y : y + 4, x : x + 4] = 1
        truth = Truth(Labels(ids, self.classes)) if self.truth else None
        return Image(pixels, self.names[index]), truth


class Counting:
    """Counts how often a step was opened, closed and called; not one of its options."""

    def __init__(self):
        self.opened = self.closed = 0
        self.calls = []


class Bright(Saliency):
    """Brightness as a heatmap; `n` of them, each a bit weaker."""

    name = "bright"
    n: int = 1
    _log: Counting = PrivateAttr(default_factory=Counting)

    def open(self, device):
        self._log.opened += 1

    def close(self):
        self._log.closed += 1

    def __call__(self, image: Image) -> tuple[Heatmap, ...]:
        self._log.calls.append(image.name)
        gray = image.pixels.mean(axis=2, dtype=np.float32) / 255
        return tuple(Heatmap(gray / (i + 1), f"class-{i}", 0.5) for i in range(self.n))


class Dim(Transform):
    """Every value times `by`."""

    name = "dim"
    by: float = 0.5

    def __call__(self, heatmap: Heatmap) -> Heatmap:
        return Heatmap(heatmap.values * self.by, heatmap.name, heatmap.score)


class Peak(Prompter):
    """The brightest pixel, `dx` to the right."""

    name = "peak"
    dx: int = 0

    def __call__(self, heatmap: Heatmap) -> Prompts:
        y, x = np.unravel_index(heatmap.values.argmax(), heatmap.values.shape)
        return Prompts((Prompt(points=[(x + self.dx, y)]),))


class Dice(Prompter):
    """A random pixel of the picture."""

    name = "dice"

    def __call__(self, image: Image, rng: np.random.Generator) -> Prompts:
        h, w = image.size
        return Prompts((Prompt(points=[(rng.integers(w), rng.integers(h))]),))


class Whole(Prompter):
    """A box around everything."""

    name = "whole"

    def __call__(self, image: Image) -> Prompts:
        h, w = image.size
        return Prompts((Prompt(box=(0, 0, w - 1, h - 1)),))


class Wander(Prompter):
    """Starts in the corner and steps right while its mask is empty: needs several rounds."""

    name = "wander"
    step: int = 2

    def __call__(self, image: Image) -> Prompts:
        return Prompts((Prompt(points=[(0, 2)]),))

    def refine(self, prompts: Prompts, masks: Masks) -> Prompts | None:
        if masks.masks.any():
            return None
        x, y = prompts[0].points[0]
        return Prompts((Prompt(points=[(x + self.step, y)]),))


class Flood(Segmenter):
    """All pixels as bright as the one pointed at, if that is bright; two candidates."""

    name = "flood"
    level: int = 100
    _log: Counting = PrivateAttr(default_factory=Counting)

    def encode(self, image: Image):
        self._log.calls.append(image.name)
        return image.pixels.mean(axis=2) >= self.level

    def __call__(self, prompts: Prompts, encoding: np.ndarray) -> Masks:
        masks, scores, which = [], [], []
        for i, prompt in enumerate(prompts):
            hit = any(encoding[int(y), int(x)] for x, y in prompt.points) or prompt.box is not None
            for score in (0.25, 0.75):
                masks.append(encoding & hit if score > 0.5 else np.zeros_like(encoding))
                scores.append(score)
                which.append(i)
        return Masks(np.array(masks), np.array(scores), np.array(which))


class Best(Selector):
    """The best score of each prompt."""

    name = "best"

    def __call__(self, masks: Masks) -> Masks:
        keep = [
            max(np.flatnonzero(masks.prompt == p), key=lambda i: masks.scores[i])
            for p in sorted(set(masks.prompt.tolist()))
        ]
        return masks.take(keep)


class Paint(Fuser):
    """Each mask as class 1."""

    name = "brush"

    def __call__(self, image: Image, masks: Masks, classes: dict[int, str]) -> Labels:
        ids = np.zeros(image.size, np.int32)
        for mask in masks.masks:
            ids[mask] = 1
        return Labels(ids, classes)


class Right(Metric):
    """Share of right pixels, averaged over images."""

    name = "right"

    def count(self, labels: Labels, truth: Truth) -> Counts:
        return {"right": float((labels.ids == truth.labels.ids).mean()), "images": 1}

    def score(self, counts: Counts) -> Scores:
        return {"right": counts["right"] / counts["images"]}


class Note(Writer):
    """A text file for each image, and one in the end."""

    name = "note"

    def write(self, directory, image: Image, labels: Labels) -> tuple:
        path = directory / "notes" / f"{image.name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(str(int(labels.ids.sum())))
        return (path,)

    def finish(self, directory, images):
        (directory / "finished.txt").write_text(" ".join(images))


Note.write.__annotations__["return"] = Note.gives[0]
