"""Low-resolution maps of what a network sees, and heatmaps made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLAT = 1e-5
"""A map whose values differ by no more than this share is the same everywhere, but for rounding."""


MOST_OTHER_TOKENS = 16
"""Tokens that are no patches: a class token, registers."""


@dataclass(frozen=True)
class Layer:
    """A layer that gives a map of features."""

    name: str
    channels: int
    size: tuple[int, int]
    """(h, w) of the map."""
    done: float
    """Share of the network's single operations that are done when it is."""
    convolves: bool
    """Whether it has a convolution of its own."""

    def __str__(self) -> str:
        return f"{self.name} ({self.channels} channels, {self.size[1]}×{self.size[0]})"


def channel_weighted(activations: Any, gradients: Any) -> Any:
    """Grad-CAM's map (B, h, w): ReLU of the channels' sum, each weighted by its mean gradient.

    `activations`, `gradients`: Tensors (B, C, h, w).
    """
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    return (weights * activations).sum(dim=1).relu()


def mean_map(maps: Sequence[Any]) -> Any:
    """The mean of maps (h, w), each resized to the largest."""
    import torch
    import torch.nn.functional as F

    if len(maps) == 1:
        return maps[0]
    size = max(tuple(m.shape) for m in maps)
    same = [
        F.interpolate(m[None, None].float(), size, mode="bilinear", align_corners=False)[0, 0]
        for m in maps
    ]
    return torch.stack(same).mean(dim=0)


def as_heat(heat: Any, size: tuple[int, int]) -> NDArray[np.float32]:
    """A map (h, w), a Tensor of values of at least 0, as a heatmap's values (H, W) in [0, 1]."""
    import torch.nn.functional as F

    low = _stretched(heat.float())
    high = F.interpolate(low[None, None], size, mode="bilinear", align_corners=False)[0, 0]
    values: NDArray[np.float32] = _stretched(high, own=True).clamp_(0, 1).cpu().numpy()
    return values


def _stretched(values: Any, own: bool = False) -> Any:
    """Minimum to 0, maximum to 1; where all are the same, zero stays zero and more becomes one.

    `own`: the values may be changed in place, as those of a large image are, for its memory.
    """
    lowest, highest = values.aminmax()
    if float(highest - lowest) <= FLAT * float(highest):
        return (values > 0).float()
    above = values.sub_(lowest) if own else values - lowest
    return above.div_(highest - lowest)  # NaN stays, and the heatmap refuses it
