"""Let heat flow between pixels of one colour (PAMR)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import NonNegativeInt, PositiveInt

from segkit import Heatmap, Image, Transform, hookimpl

NEIGHBOURS = tuple((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0))


class Pamr(Transform):
    """Pixel-adaptive mask refinement (Araslanov & Roth 2020, equations 3 to 5).

    Again and again each pixel takes the mean of its neighbours' heat, weighted by how alike their
    colours are: the softmax over the neighbours of −|difference| / (0.1 σ), averaged over the three
    channels, where σ is the standard deviation of the colours around the pixel. The neighbours are
    the eight at each of several distances; the picture's edge goes on outside of it. So the heat
    moves up to edges and stops there.

    A picture with a longer side than `side` is refined at that size, and the result resized
    bilinearly. It is divided by its maximum, so that the brightest pixel is exactly 1; a heatmap
    without heat stays all zero.
    """

    name = "pamr"
    concurrent = True

    iterations: NonNegativeInt = 10
    """How many times the heat moves on."""
    dilations: tuple[PositiveInt, ...] = (1, 2, 4, 8, 12, 24)
    """How far away the neighbours are, in pixels."""
    side: PositiveInt = 512
    """The picture's longer side while it is refined, at most, in pixels."""

    def __call__(self, heatmap: Heatmap, image: Image) -> Heatmap:
        """The refined heatmap, of the same shape, name and score."""
        import torch
        import torch.nn.functional as F

        if not heatmap.values.any() or not self.iterations or not self.dilations:
            return heatmap
        colours = torch.from_numpy(image.pixels.copy()).permute(2, 0, 1)[None]
        heat = torch.from_numpy(heatmap.values.copy())[None, None]
        share = self.side / max(image.size)
        if share < 1:
            small = [max(1, round(n * share)) for n in image.size]
            colours = F.interpolate(colours, small, mode="bilinear", antialias=True)
            heat = F.interpolate(heat, small, mode="bilinear", antialias=True)
        with torch.inference_mode():
            alike = self._alike(colours[0].float() / 255)
            refined = heat[0]
            for _ in range(self.iterations):
                near = self._neighbours(refined)
                refined = sum(weight * value[0] for weight, value in zip(alike, near, strict=True))
                refined = refined[None]
            whole = F.interpolate(refined[None], image.size, mode="bilinear", align_corners=False)
        values = whole[0, 0].numpy()
        top = values.max()
        if top <= 0:  # so little heat that rounding ate it
            return heatmap
        return Heatmap((values / top).clip(0, 1), heatmap.name, heatmap.score)

    def _alike(self, colours: Any) -> Any:
        """(n, h, w): how much each of a pixel's n neighbours counts; they sum to 1."""
        import torch

        steps = len(self.dilations)
        total, squares = steps * colours, steps * colours**2  # the pixel is among them each time
        for near in self._neighbours(colours):
            total += near
            squares += near**2
        count = steps * (len(NEIGHBOURS) + 1)
        spread = ((squares - total**2 / count) / (count - 1)).clamp(min=0).sqrt()
        away = [
            ((near - colours).abs() / (1e-8 + 0.1 * spread)).mean(dim=0)
            for near in self._neighbours(colours)
        ]
        return torch.stack(away).neg_().softmax(dim=0)

    def _neighbours(self, maps: Any) -> Iterator[Any]:
        """Maps (C, h, w), moved so that each pixel's neighbour lies in its place, one by one."""
        import torch.nn.functional as F

        height, width = maps.shape[-2:]
        for far in self.dilations:
            wide = F.pad(maps[None], (far, far, far, far), mode="replicate")[0]
            for y, x in NEIGHBOURS:
                top, left = far * (1 + y), far * (1 + x)
                yield wide[:, top : top + height, left : left + width]


@hookimpl
def segkit_transforms() -> Sequence[type[Transform]]:
    """Register `pamr`."""
    return [Pamr]
