"""The parts of a U-Net (Ronneberger, Fischer and Brox 2015), with batch normalisation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BINS = (1, 2, 3, 6)
"""Into how many rows and columns pyramid pooling divides a map, as in its paper."""


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


class AttentionGate(nn.Module):
    """What of a skip passes, by what the level below knows (Oktay et al. 2018, eq. 1 and 2).

    Additive attention: α = σ(ψᵀ ReLU(W_x x + W_g g + b_g) + b_ψ) on the grid of the gating signal
    g, W_x taking steps of two; α is enlarged bilinearly and multiplied with the skip x.
    """

    def __init__(self, skip: int, gating: int) -> None:
        super().__init__()
        self.of_skip = nn.Conv2d(skip, skip, 2, stride=2, bias=False)
        self.of_gating = nn.Conv2d(gating, skip, 1)
        self.score = nn.Conv2d(skip, 1, 1)

    def forward(self, skip: Tensor, gating: Tensor) -> Tensor:
        """(b, skip, 2h, 2w) and (b, gating, h, w) to the skip, weighted; the same shape."""
        alpha = self.score((self.of_skip(skip) + self.of_gating(gating)).relu()).sigmoid()
        return skip * F.interpolate(alpha, skip.shape[-2:], mode="bilinear")


class PyramidPooling(nn.Module):
    """What the whole map and its parts show, beside each place (Zhao et al. 2017, section 3.2).

    The map is averaged over 1, 4, 9 and 36 parts; each goes through a 1×1 convolution to a quarter
    of the channels and ReLU, is enlarged bilinearly and concatenated to the map, which a 3×3
    convolution with batch normalisation and ReLU brings back to its channels. The paper normalises
    the branches by batches too; here they have biases, for one part of one image has no variance.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        branch = max(1, channels // len(BINS))
        self.branches = nn.ModuleList(nn.Conv2d(channels, branch, 1) for _ in BINS)
        inside = channels + branch * len(BINS)
        self.fuse = nn.Sequential(
            nn.Conv2d(inside, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, h, w) to the same."""
        height, width = x.shape[-2:]
        maps = [x]
        for count, branch in zip(BINS, self.branches, strict=True):
            # By matrices, whose gradients repeat themselves on GPUs, and for any side.
            parts = shares(height, count).to(x) @ x @ shares(width, count).to(x).T
            maps.append(F.interpolate(branch(parts).relu(), (height, width), mode="bilinear"))
        fused: Tensor = self.fuse(torch.cat(maps, dim=1))
        return fused


def shares(side: int, count: int) -> Tensor:
    """(count, side): rows that average the pixels of each part, as adaptive pooling parts them.

    Parts share a pixel where `side` is no multiple, and are single pixels where it is less.
    """
    at = torch.arange(count)
    first, end = at * side // count, -(-(at + 1) * side // count)
    pixel = torch.arange(side)
    inside = (pixel >= first[:, None]) & (pixel < end[:, None])
    return inside / inside.sum(1, keepdim=True)


class Decoder(nn.Module):
    """The way up: each level doubles the side by a transposed convolution and halves the channels.

    `inside` channels enter. `skips`: how many channels of an earlier map each level gets beside its
    own, from the lowest level up; 0 for a level without. `gates`: attention gates on the skips, but
    for the uppermost, whose map is too early to tell objects apart (Oktay et al. 2018). What leaves
    has `outside` channels.
    """

    def __init__(
        self, inside: int, skips: Sequence[int] = (0, 0, 0, 0), gates: bool = False
    ) -> None:
        super().__init__()
        ups, levels = [], []
        self.gates = nn.ModuleList()
        for index, skip in enumerate(skips):
            if gates and skip and index < len(skips) - 1:
                self.gates.append(AttentionGate(skip, inside))
            ups.append(nn.ConvTranspose2d(inside, inside // 2, 2, stride=2))
            inside //= 2
            levels.append(double(inside + skip, inside))
        self.ups, self.levels = nn.ModuleList(ups), nn.ModuleList(levels)
        self.outside = inside

    def forward(self, x: Tensor, maps: Sequence[Tensor | None] = ()) -> Tensor:
        """(b, inside, h, w) to (b, outside, 2ⁿh, 2ⁿw), n levels; `maps`: the skips, if there are.

        A level's map has twice the side of what enters it; None for a level without.
        """
        gates = iter(self.gates)
        for index, (up, level) in enumerate(zip(self.ups, self.levels, strict=True)):
            beside = maps[index] if maps else None
            if beside is not None and (gate := next(gates, None)) is not None:
                beside = gate(beside, x)
            x = up(x)
            x = level(x if beside is None else torch.cat([beside, x], dim=1))
        return x
