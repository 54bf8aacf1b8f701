"""Steps whose answers about a tile are known, and pictures for them."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy import ndimage

from segkit import Heatmap, Image, Labels, Masks, Prompts, Saliency, Segmenter

BRIGHT = 128

AROUND = np.ones((3, 3))


def blobs(height, width, *boxes):
    """A dark picture with bright rectangles: first row and column, height and width."""
    pixels = np.full((height, width, 3), 20, np.uint8)
    for top, left, h, w in boxes:
        pixels[top : top + h, left : left + w] = 220
    return pixels


def bright(image):
    return image.pixels[..., 0] > BRIGHT


class Glow(Saliency):
    """Brightness, which says the same in each picture."""

    name = "glow"
    stretches = False

    def __call__(self, image: Image) -> Heatmap:
        return Heatmap(image.pixels[..., 0].astype(np.float32) / 255)


class Stretched(Saliency):
    """Brightness, the least 0 and the greatest 1 in each picture."""

    name = "stretched"

    def __call__(self, image: Image) -> Heatmap:
        values = image.pixels[..., 0].astype(np.float32)
        return Heatmap((values - values.min()) / max(float(np.ptp(values)), 1.0), "light")


class Parted(Stretched):
    """The same, whose tiles compare."""

    name = "parted"

    def part(self, image: Image, heatmaps: tuple[Heatmap, ...]) -> tuple[np.ndarray, ...]:
        assert [h.name for h in heatmaps] == ["light"]
        return (image.pixels[..., 0].astype(np.float32),)


class Seen(Segmenter):
    """Notes the sizes of the pictures that it sees."""

    sizes: ClassVar[list] = []

    @classmethod
    def note(cls, image):
        cls.sizes.append(image.size)


class Flooding(Seen):
    """For a prompt the bright region at its point, or the bright pixels in its box."""

    name = "flooding"

    def encode(self, image: Image) -> np.ndarray:
        self.note(image)
        return ndimage.label(bright(image), AROUND)[0]

    def __call__(self, image: Image, prompts: Prompts, encoding: np.ndarray) -> Masks:
        masks = []
        for prompt in prompts:
            mask = np.zeros(image.size, bool)
            if prompt.box is not None:
                x0, y0, x1, y1 = prompt.box.astype(int)
                mask[y0 : y1 + 1, x0 : x1 + 1] = bright(image)[y0 : y1 + 1, x0 : x1 + 1]
            for x, y in prompt.points[prompt.signs].astype(int):
                mask |= (encoding == encoding[y, x]) & bright(image)
            masks.append(mask)
        if not masks:
            return Masks.none(image.size)
        return Masks(np.stack(masks), np.full(len(masks), 0.5), np.arange(len(masks)))


class Regions(Seen):
    """Each bright region, the largest first."""

    name = "regions"

    def __call__(self, image: Image) -> Masks:
        self.note(image)
        labels, count = ndimage.label(bright(image), AROUND)
        masks = [labels == i + 1 for i in range(count)]
        if not masks:
            return Masks.none(image.size)
        scores = [mask.sum() / 1e6 for mask in masks]
        return Masks(np.stack(masks), scores, np.arange(count))


class Warm(Seen):
    """One mask for each heatmap: where it is warm."""

    name = "warm"

    def __call__(self, image: Image, heatmap: Heatmap) -> Masks:
        self.note(image)
        return Masks((heatmap.values > 0.5)[None], [0.5], [0])


class Map(Seen):
    """A class map: bright pixels are of class 1."""

    name = "map"

    def __call__(self, image: Image) -> Labels:
        self.note(image)
        return Labels(bright(image).astype(np.int32), {1: "light"})
