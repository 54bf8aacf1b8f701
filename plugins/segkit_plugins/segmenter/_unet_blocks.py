"""The parts of a U-Net (Ronneberger, Fischer and Brox 2015), with batch normalisation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def double(inside: int, outside: int) -> nn.Sequential:
    """Two 3×3 convolutions that keep the size, each with batch normalisation and ReLU."""
    layers: list[nn.Module] = []
    for channels in (inside, outside):
        layers += [
            nn.Conv2d(channels, outside, 3, padding=1, bias=False),
            nn.BatchNorm2d(outside),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class Decoder(nn.Module):
    """The way up: each level doubles the side by a transposed convolution and halves the channels.

    `inside` channels enter. `skips`: how many channels of an earlier map each level gets beside its
    own, from the lowest level up; 0 for a level without. What leaves has `outside` channels.
    """

    def __init__(self, inside: int, skips: Sequence[int] = (0, 0, 0, 0)) -> None:
        super().__init__()
        ups, levels = [], []
        for skip in skips:
            ups.append(nn.ConvTranspose2d(inside, inside // 2, 2, stride=2))
            inside //= 2
            levels.append(double(inside + skip, inside))
        self.ups, self.levels = nn.ModuleList(ups), nn.ModuleList(levels)
        self.outside = inside

    def forward(self, x: Tensor, maps: Sequence[Tensor | None] = ()) -> Tensor:
        """(b, inside, h, w) to (b, outside, 2ⁿh, 2ⁿw), n levels; `maps`: the skips, if there are.

        A level's map has twice the side of what enters it; None for a level without.
        """
        for index, (up, level) in enumerate(zip(self.ups, self.levels, strict=True)):
            x = up(x)
            beside = maps[index] if maps else None
            x = level(x if beside is None else torch.cat([beside, x], dim=1))
        return x
