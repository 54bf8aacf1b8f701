"""Networks on CLIP's image half (Radford et al. 2021): its patch tokens, decoded to class maps.

With ViT-B/32 and 224×224 pixels: 50 tokens of 768, without the class token 768×7×7; then the
U-Net's decoder without its skips, 14×14, 28×28, 56×56, 112×112, each level of half the channels;
then resized to the input.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segkit_plugins.segmenter._unet_blocks import Decoder

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
        return tokens.transpose(1, 2).reshape(len(pixels), self.width, rows, columns)


class ClipDecoderNet(nn.Module):
    """Class maps: the tokens, projected to `bottom` channels, go through the U-Net's decoder.

    `frozen`: CLIP learns nothing.
    """

    def __init__(
        self, vision: Any, bottom: int, levels: int, classes: int, frozen: bool = False
    ) -> None:
        super().__init__()
        self.frozen = frozen
        self.tokens = ClipTokens(vision).requires_grad_(not frozen)
        self.project = nn.Conv2d(self.tokens.width, bottom, 1)
        self.decoder = Decoder(bottom, (0,) * levels)
        self.head = nn.Conv2d(self.decoder.outside, classes, 1)

    def train(self, mode: bool = True) -> ClipDecoderNet:
        """As ever, but a frozen CLIP works in training as it does later, without dropout."""
        super().train(mode)
        self.tokens.train(mode and not self.frozen)
        return self

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, h, w) pixels in [0, 1] to logits (B, classes, h, w)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            tokens = self.tokens(pixels)
        low = self.head(self.decoder(self.project(tokens)))
        return F.interpolate(low, pixels.shape[-2:], mode="bilinear")


class PointClipNet(nn.Module):
    """What lies under a point: picture and point go through the same CLIP, and on to a decoder.

    The point is a picture too: its Gaussian, of a standard deviation of `sigma` patches, in all
    three channels. The tokens of both are concatenated, without a projection.
    """

    def __init__(self, vision: Any, levels: int, sigma: float) -> None:
        super().__init__()
        self.tokens = ClipTokens(vision)
        self.decoder = Decoder(2 * self.tokens.width, (0,) * levels)
        self.head = nn.Conv2d(self.decoder.outside, 2, 1)
        self.sigma = sigma

    def forward(self, pixels: Tensor, points: Tensor) -> Tensor:
        """Logits (n, 2, h, w): all else, and what lies under the point.

        `pixels` (B, 3, h, w) in [0, 1]; `points` (n, 2), x and y in pixels of them: one of each
        picture, or as many of each, those of a picture one after the other.
        """
        size = (pixels.shape[-2], pixels.shape[-1])
        seen = self.tokens(pixels).repeat_interleave(len(points) // len(pixels), dim=0)
        return F.interpolate(self.low(seen, points, size), size, mode="bilinear")

    def low(self, seen: Tensor, points: Tensor, size: tuple[int, int]) -> Tensor:
        """The logits as the decoder leaves them, (n, 2, r·2ⁿ, c·2ⁿ).

        `seen`: the tokens (n, width, r, c) of pictures of `size` (h, w), one for each point.
        """
        heat = gaussians(points, size, self.sigma * self.tokens.patch)
        asked = self.tokens(heat.expand(-1, 3, -1, -1))
        low: Tensor = self.head(self.decoder(torch.cat([seen, asked], dim=1)))
        return low


def gaussians(points: Tensor, size: tuple[int, int], sigma: float) -> Tensor:
    """(n, 1, h, w): a Gaussian for each of the points (n, 2), 1 where the point lies.

    x and y in pixels of (h, w), whole numbers being the centres, and so is `sigma`.
    """
    across, down = (
        torch.exp(-((torch.arange(n, device=points.device) - at[:, None]) ** 2) / (2 * sigma**2))
        for n, at in zip(size[::-1], points.float().T, strict=True)
    )
    return (down[:, :, None] * across[:, None, :])[:, None]
