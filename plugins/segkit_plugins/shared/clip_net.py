"""Networks on CLIP's image half (Radford et al. 2021): its patch tokens, decoded to class maps.

With ViT-B/32 and 224×224 pixels: 50 tokens of 768, without the class token 768×7×7, then the U-Net's
decoder without its skips, each of four steps twice as large and half as deep, then resized to the
input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Mean and standard deviation that CLIP's pictures are normalised with, pixels in [0, 1]."""


class ClipTokens(nn.Module):
    """The patch tokens of CLIP's image half, where they lie in the picture."""

    mean: Tensor
    std: Tensor

    def __init__(self, vision: Any) -> None:
        super().__init__()
        # Older versions of transformers keep the image half a level deeper; a trained file has the
        # same names with all of them.
        self.vision = getattr(vision, "vision_model", vision)
        self.width = int(vision.config.hidden_size)
        self.patch = int(vision.config.patch_size)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(STD)[:, None, None], persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, h, w) pixels in [0, 1] to (B, width, h/patch, w/patch).

        A side that is no multiple of the patch is resized to the nearest one. The position
        embeddings are interpolated (bicubic) where the picture has not the size of the training.
        """
        rows, columns = (max(1, round(n / self.patch)) for n in pixels.shape[-2:])
        whole = (rows * self.patch, columns * self.patch)
        if pixels.shape[-2:] != whole:
            pixels = F.interpolate(pixels, whole, mode="bilinear", antialias=True)
        seen = self.vision((pixels - self.mean) / self.std, interpolate_pos_encoding=True)
        tokens: Tensor = seen.last_hidden_state[:, 1:]  # the first one is the class token
        return tokens.transpose(1, 2).unflatten(2, (rows, columns))


class Up(nn.Module):
    """Twice the size: a transposed convolution, then two of 3×3, each with batch norm and ReLU."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(inside, outside, 2, 2)
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [
                nn.Conv2d(outside, outside, 3, padding=1, bias=False),
                nn.BatchNorm2d(outside),
                nn.ReLU(inplace=True),
            ]
        self.convolutions = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inside, h, w) to (B, outside, 2h, 2w)."""
        made: Tensor = self.convolutions(self.up(x))
        return made


class Decoder(nn.Module):
    """The U-Net's decoder without skips: a step for each number of `channels`, then the classes."""

    def __init__(self, inside: int, channels: Sequence[int], classes: int) -> None:
        super().__init__()
        pairs = zip((inside, *channels), channels, strict=False)
        self.steps = nn.ModuleList(Up(a, b) for a, b in pairs)
        self.classes = nn.Conv2d(channels[-1], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inside, h, w) to (B, classes, 2ⁿh, 2ⁿw) of n steps."""
        for step in self.steps:
            x = step(x)
        made: Tensor = self.classes(x)
        return made


class ClipDecoderNet(nn.Module):
    """Class maps: tokens, projected to the depth of the U-Net's bottom, decoded."""

    def __init__(self, vision: Any, bottom: int, channels: Sequence[int], classes: int) -> None:
        super().__init__()
        self.tokens = ClipTokens(vision)
        self.project = nn.Conv2d(self.tokens.width, bottom, 1)
        self.decoder = Decoder(bottom, channels, classes)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, h, w) pixels in [0, 1] to logits (B, classes, h, w)."""
        low = self.decoder(self.project(self.tokens(pixels)))
        return F.interpolate(low, pixels.shape[-2:], mode="bilinear")


class PointClipNet(nn.Module):
    """The mask of what lies under a point: picture and point through the same CLIP, then decoded.

    The point is a picture too, its Gaussian in all three channels; the tokens of both are
    concatenated.
    """

    def __init__(self, vision: Any, channels: Sequence[int]) -> None:
        super().__init__()
        self.tokens = ClipTokens(vision)
        self.decoder = Decoder(2 * self.tokens.width, channels, 1)

    def points(self, heat: Tensor) -> Tensor:
        """Tokens of points (B, 1, h, w) in [0, 1], as of a picture."""
        made: Tensor = self.tokens(heat.expand(-1, 3, -1, -1))
        return made

    def decode(self, seen: Tensor, asked: Tensor) -> Tensor:
        """Tokens of pictures and points, (B, width, r, c) each, to low logits (B, 1, 2ⁿr, 2ⁿc)."""
        made: Tensor = self.decoder(torch.cat([seen, asked], dim=1))
        return made

    def forward(self, pixels: Tensor, heat: Tensor) -> Tensor:
        """Pixels (B, 3, h, w) and points (B, 1, h, w), in [0, 1] both, to logits (B, 1, h, w)."""
        low = self.decode(self.tokens(pixels), self.points(heat))
        return F.interpolate(low, pixels.shape[-2:], mode="bilinear")


def gaussians(points: Sequence[tuple[float, float]], size: tuple[int, int], sigma: float) -> Tensor:
    """(1, h, w) float32 in [0, 1]: at each pixel the largest of the points' Gaussians.

    `points`: x and y in pixels of the (h, w) picture; `sigma`: standard deviation in pixels.
    """
    rows, columns = (torch.arange(n, dtype=torch.float32) for n in size)
    heat = torch.zeros(size)
    for x, y in points:
        down = torch.exp(-((rows - y) ** 2) / (2 * sigma**2))
        across = torch.exp(-((columns - x) ** 2) / (2 * sigma**2))
        heat = torch.maximum(heat, down[:, None] * across)
    return heat[None]
