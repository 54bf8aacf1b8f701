"""Tiny segmenters and data for the tests of training."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import cache, partial
from unittest.mock import patch

import numpy as np

from segkit import Dataset, Image, Labels, Masks, Prompts, Trainable, TrainedSegmenter, Truth
from segkit.errors import BadImageError
from segkit.training import documents
from segkit.training.loop import train
from segkit.training.settings import Settings

CLASSES = {1: "red", 2: "blue"}


class Squares(Dataset):
    """A red or blue square on grey: picture i depends on i alone; (32, 40) pixels."""

    name = "squares"

    count: int = 12
    broken: tuple[int, ...] = ()
    truthless: tuple[int, ...] = ()
    truth: bool = True
    names_of: dict[int, str] = CLASSES
    only: int = 0

    @property
    def names(self) -> Sequence[str]:
        return [f"s{i}" for i in range(self.count)]

    @property
    def classes(self):
        return self.names_of

    @property
    def has_truth(self) -> bool:
        return self.truth

    def __getitem__(self, index):
        if index in self.broken:
            raise BadImageError(f"'s{index}' is damaged; copy it again")
        rng = np.random.default_rng(index)
        pixels = rng.integers(90, 160, (32, 40, 3)).astype(np.uint8)
        ids = np.zeros((32, 40), np.int32)
        kind = self.only or 1 + (index % 3 == 0)
        top, left = rng.integers(0, 16, 2)
        place = np.s_[top : top + 14, left : left + 14]
        pixels[place] = (230, 20, 20) if kind == 1 else (20, 20, 230)
        ids[place] = kind
        ids[top, left : left + 14] = 255
        instances = (ids > 0).astype(np.int32)
        instances[ids == 255] = 255
        truth = None if index in self.truthless else Truth(Labels(ids, self.classes), instances)
        return Image(pixels, f"s{index}"), truth


class Linear(TrainedSegmenter):
    """Classes from a pixel's neighbourhood of 3×3, with dropout, which is random."""

    name = "linear"
    train_size = 32
    train_rate = 0.02

    channels: int = 4
    bad_at: int = 0
    """The step in which the network answers NaN."""

    def network(self, classes):
        import torch
        from torch import nn

        class Net(nn.Sequential):
            calls = 0

            def forward(net, pixels):
                net.calls += net.training
                found = super().forward(pixels)
                return found * (float("nan") if net.training and net.calls == self.bad_at else 1.0)

        torch.rand(3)
        return Net(
            nn.Conv2d(3, self.channels, 3, padding=1),
            nn.BatchNorm2d(self.channels),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Conv2d(self.channels, classes, 1),
        )


class Clicked(Trainable):
    """The mask of what is coloured like the clicked pixel."""

    name = "clicked"
    clicks = True
    train_size = 32
    train_rate = 0.01

    def network(self, classes):
        import torch
        from torch import nn

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layers = nn.Sequential(
                    nn.Conv2d(3, 16, 1), nn.ReLU(), nn.Conv2d(16, classes, 1)
                )

            def forward(self, pixels, points):
                x, y = points.round().long().unbind(1)
                own = pixels[torch.arange(len(pixels)), :, y, x]
                return self.layers((pixels - own[:, :, None, None]).abs())

        return Net()

    def __call__(self, image: Image, prompts: Prompts) -> Masks:
        if not len(prompts):
            return Masks.none(image.size)
        points = np.stack([prompt.points[0] for prompt in prompts])
        logits = self.logits([image] * len(points), points)
        rows = (np.arange(image.size[0]) * 32) // image.size[0]
        columns = (np.arange(image.size[1]) * 32) // image.size[1]
        masks = logits.argmax(1).bool().numpy()[:, rows][:, :, columns]
        return Masks(masks, np.ones(len(masks), np.float32), np.arange(len(masks)))


PICTURES = documents.pictures


@cache
def curves_of_another():
    """Drawn once: it takes as long as all else in such a training."""
    return PICTURES([dict.fromkeys(documents.COLUMNS, 1)], "another")


def quick(
    path,
    step=None,
    data=None,
    *,
    seed=0,
    resume=False,
    overwrite=False,
    watch=None,
    draws=False,
    **more,
):
    """Train a tiny network on squares; the pictures beside it are its own curves if it draws."""
    settings = Settings(**{"batch": 4, "epochs": 3, "size": 32, **more})
    run = partial(train, seed=seed, resume=resume, overwrite=overwrite, watch=watch)
    pictures = PICTURES if draws else lambda rows, title: curves_of_another()
    with patch.object(documents, "pictures", pictures):
        return run(step or Linear(), data or [Squares()], path, settings)


def curve(path):
    """The lines of the CSV file without the seconds."""
    with path.with_suffix(".csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
