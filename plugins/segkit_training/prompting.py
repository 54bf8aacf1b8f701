"""Prompts to train `nano` with, jittered as segkit's prompters and people make them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

POINTS = 6
"""Places for points in a row."""
LEAST = 100
"""Objects with fewer pixels (of a picture of 320 × 320) are not asked for."""


class Target:
    """What a prompt may ask for; what prompts share is worked out once, at half the side."""

    def __init__(self, mask: NDArray[np.bool_]) -> None:
        self.mask = mask

    @cached_property
    def half(self) -> NDArray[np.bool_]:
        """The mask at every other pixel; all of it where that is nothing."""
        found = self.mask[::2, ::2]
        return found if found.any() else self.mask[1::2, 1::2] | self.mask[::2, 1::2]

    @cached_property
    def depth(self) -> NDArray[np.float64]:
        """Of each of those the distance to the mask's border, or to the picture's."""
        found: NDArray[np.float64] = ndimage.distance_transform_edt(np.pad(self.half, 1))
        return found[1:-1, 1:-1]

    @cached_property
    def near(self) -> NDArray[np.bool_]:
        """Those around the mask, up to 10 away."""
        away = ndimage.distance_transform_edt(~self.half)
        return (away > 0) & (away <= 10)

    @cached_property
    def box(self) -> NDArray[np.float64]:
        """Its tight box: first and last x and y."""
        ys, xs = np.flatnonzero(self.mask.any(1)), np.flatnonzero(self.mask.any(0))
        return np.array([xs[0], ys[0], xs[-1], ys[-1]], np.float64)

    def interior(self, rng: np.random.Generator) -> tuple[float, float]:
        """A point (x, y): a random one, the most interior one, or one in between."""
        how = rng.random()
        if how < 0.35:
            return _one_of(rng, self.half)
        floor = self.depth.max() * (rng.uniform(0.3, 1.0) if how < 0.7 else 1.0)
        return _one_of(rng, self.depth >= floor)

    def rough_box(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """The box as it is, with noise, or too large."""
        size = np.tile(self.box[2:] - self.box[:2] + 1, 2)
        how = rng.random()
        if how < 0.5:
            found = self.box
        elif how < 0.85:
            found = self.box + np.clip(rng.normal(0, 0.1, 4) * size, -20, 20)
        else:
            found = self.box + rng.uniform(0, 0.3, 4) * size * [-1, -1, 1, 1]
        ends: NDArray[np.float64] = np.clip(found, 0, len(self.mask) - 1)
        return np.concatenate([np.minimum(ends[:2], ends[2:]), np.maximum(ends[:2], ends[2:])])


def _one_of(rng: np.random.Generator, where: NDArray[np.bool_]) -> tuple[float, float]:
    """A random pixel (x, y) of those that are True at half the side, in full pixels."""
    places = np.flatnonzero(where)
    y, x = divmod(int(places[rng.integers(len(places))]), where.shape[1])
    return 2.0 * x + rng.integers(2), 2.0 * y + rng.integers(2)


@dataclass(frozen=True)
class Asked:
    """Prompts on one picture of side S, in rows as `nano`'s prompt encoder takes them."""

    coords: NDArray[np.float32]
    """(n, 8, 2) x and y: six points, then the box's corners."""
    labels: NDArray[np.float32]
    """(n, 8): 1 on the object, 0 background, 2 and 3 the box's corners, −1 nothing."""
    masked: NDArray[np.bool_]
    """(n,): whether a coarse mask is given as well."""
    truth: NDArray[np.bool_]
    """(n, S, S): the mask asked for."""


def sample_prompts(rng: np.random.Generator, ids: NDArray[Any], count: int) -> Asked | None:
    """`count` prompts on the objects of a picture, in turn; None where there is none."""
    sizes = np.bincount(ids.ravel())
    numbers = [i for i in range(1, len(sizes)) if sizes[i] >= LEAST]
    if not numbers:
        return None
    objects = [Target(ids == i) for i in rng.permutation(numbers)[:count]]
    coords = np.zeros((count, POINTS + 2, 2), np.float32)
    labels = -np.ones((count, POINTS + 2), np.float32)
    masked = np.zeros(count, bool)
    for k in range(count):
        target = objects[k % len(objects)]
        how = rng.random()
        positive, negative = 0, 0
        if how < 0.42:
            positive = 1
        elif how < 0.56:
            positive, negative = int(rng.integers(1, 5)), int(rng.integers(0, 3))
        elif how < 0.62:
            positive, negative = int(rng.integers(0, 2)), int(rng.integers(0, 2))
        elif how > 0.9:
            masked[k] = True
            positive = int(rng.random() < 0.25)
        if 0.56 <= how < 0.88 or how > 0.975:
            coords[k, POINTS:] = target.rough_box(rng).reshape(2, 2)
            labels[k, POINTS:] = 2, 3
        elif not positive:
            masked[k] = True
        for j in range(positive):
            coords[k, j], labels[k, j] = target.interior(rng), 1
        for j in range(positive, positive + negative):
            near = rng.random() < 0.6 and target.near.any()
            where = target.near if near else ~target.half
            if where.any():
                coords[k, j], labels[k, j] = _one_of(rng, where), 0
    truth = np.stack([objects[k % len(objects)].mask for k in range(count)])
    return Asked(coords, labels, masked, truth)


def coarse_masks(truth: Tensor, draw: torch.Generator) -> Tensor:
    """Masks as heatmaps would give them, logits (n, 1, s, s), of true ones (n, s, s) in [0, 1].

    The truth is averaged over cells and at times brighter around one place, cut at a level as the
    prompter `mask` does, or followed.
    """
    count, side = len(truth), truth.shape[-1]

    def uniform(low: float, high: float) -> Tensor:
        return (torch.rand(count, 1, 1, generator=draw) * (high - low) + low).to(truth)

    cells = [1, 4, 8, 16, 24][int(torch.randint(5, (), generator=draw))]
    small = F.interpolate(
        truth[:, None], (side // cells, side // cells), mode="bilinear", antialias=True
    )
    heat = F.interpolate(small, (side, side), mode="bilinear", align_corners=False)[:, 0]
    at = torch.arange(side, device=truth.device, dtype=truth.dtype) / side
    inside = truth.flatten(1) + 1e-3
    peak = torch.multinomial(inside.float().cpu(), 1, generator=draw)[:, 0].to(truth.device)
    y, x = (p[:, None] / side for p in (peak // side, peak % side))
    bump = (-((at - y) ** 2)[:, :, None] - ((at - x) ** 2)[:, None]) / uniform(0.15, 0.6) ** 2
    heat = torch.where(uniform(0, 1) < 0.6, heat * bump.exp(), heat)
    heat = heat / heat.amax((1, 2), keepdim=True).clamp(min=1e-6)
    level, strength = uniform(0.2, 0.6), uniform(4, 12)
    rise = heat - level
    soft = torch.where(rise >= 0, rise / (1 - level), rise / level)
    hard = torch.where(rise >= 0, 1.0, -1.0)
    return (torch.where(uniform(0, 1) < 0.3, soft, hard) * strength)[:, None]
