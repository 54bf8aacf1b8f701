"""What the generated data sets share: their options, names and truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field, NonNegativeInt, PrivateAttr

from segkit import Dataset, Image, Labels, Truth
from segkit_plugins.shared.drawing import CLASSES, Backgrounds, draw

MOST = 1_000_000
"""So many pictures; each has a name, and a run keeps all names."""


class Generated(Dataset):
    """Pictures drawn when they are asked for; picture i depends on the options and i alone."""

    objects: ClassVar[tuple[int, int]] = (1, 1)
    """Least and greatest number of objects in a picture."""

    count: Annotated[int, Field(ge=1, le=MOST)] = 100
    """How many pictures."""

    seed: NonNegativeInt = 20000
    """Which pictures; the same seed gives the same ones. Bundled weights saw those below 10000."""

    size: Annotated[int, Field(ge=32)] = 256
    """The side of a picture, in pixels."""

    backgrounds: Path | None = None
    """A folder of pictures, or an .npz file with `images` (n,h,w,3); left out: made-up textures."""

    _loaded: Backgrounds | None = PrivateAttr(None)

    @property
    def names(self) -> Sequence[str]:
        """The data set's own name and a number of five digits, from 0."""
        return [f"{self.name}-{i:05d}" for i in range(self.count)]

    @property
    def classes(self) -> Mapping[int, str]:
        """The five shapes, from 1."""
        return CLASSES

    def __len__(self) -> int:
        return self.count

    def open(self, device: str) -> None:
        """Load the backgrounds. Raises `UsageError` if they cannot be used."""
        self._loaded = Backgrounds.load(self.backgrounds)

    def close(self) -> None:
        """Drop the backgrounds."""
        self._loaded = None

    def __getitem__(self, index: int) -> tuple[Image, Truth]:
        """Picture `index`, with class map and instances (1 … n, from the lowest to the topmost)."""
        index = range(self.count)[index]
        if self._loaded is None:
            self.open("cpu")
        assert self._loaded is not None
        rng = np.random.default_rng([self.seed, index])
        drawing = draw(rng, self._loaded, self.size, self.objects)
        truth = Truth(Labels(drawing.labels, CLASSES), drawing.instances)
        return Image(drawing.pixels, f"{self.name}-{index:05d}"), truth
