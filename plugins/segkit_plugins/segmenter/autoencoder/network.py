"""The network of the segmenter `autoencoder`, and the losses of its reconstruction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segkit import MissingExtraError

CHANNELS = (3, 64, 128, 256)
"""Of the image and behind each block of the encoder; the decoder goes back."""

HEAD = (256, 128, 64, 32)
"""Channels before, between and behind the head's convolutions."""

EDGE = 4.0
"""How much more an error counts on the strongest edge."""


class AutoencoderNet(nn.Module):
    """An encoder, a decoder that reconstructs its images, and a head that segments them."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        down: list[nn.Module] = []
        for inside, outside in pairwise(CHANNELS):
            down += [
                nn.Conv2d(inside, outside, 3, padding=1, bias=False),
                nn.BatchNorm2d(outside),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2),
            ]
        self.encoder = nn.Sequential(*down)
        up: list[nn.Module] = []
        back = (*CHANNELS[:0:-1], CHANNELS[1] // 2)
        for inside, outside in pairwise(back):
            up += [nn.ConvTranspose2d(inside, outside, 2, stride=2), nn.ReLU(inplace=True)]
        self.decoder = nn.Sequential(*up, nn.Conv2d(back[-1], 3, 3, padding=1), nn.Sigmoid())
        head: list[nn.Module] = []
        for inside, outside in pairwise(HEAD):
            head += [nn.Conv2d(inside, outside, 3, padding=1), nn.ReLU(inplace=True)]
        self.head = nn.Sequential(*head, nn.Conv2d(HEAD[-1], classes, 1))
        self.frozen = False

    def freeze(self, frozen: bool) -> None:
        """Train the head alone, or all but the head."""
        self.frozen = frozen
        self.encoder.requires_grad_(not frozen)
        self.decoder.requires_grad_(not frozen)
        self.head.requires_grad_(frozen)

    def train(self, mode: bool = True) -> AutoencoderNet:
        """As ever, but the batch statistics of a frozen encoder stay as they are."""
        super().train(mode)
        self.encoder.train(mode and not self.frozen)
        return self

    def reconstruct(self, pixels: Tensor) -> Tensor:
        """(b, 3, h, w) in [0, 1] to the same."""
        reconstruction = self.decoder(self.encoder(pixels))
        return F.interpolate(reconstruction, pixels.shape[-2:], mode="bilinear")

    def forward(self, pixels: Tensor) -> Tensor:
        """(b, 3, h, w) in [0, 1] to logits (b, classes, h, w)."""
        logits = self.head(self.encoder(pixels))
        return F.interpolate(logits, pixels.shape[-2:], mode="bilinear")


def ssim(reconstruction: Tensor, pixels: Tensor) -> Tensor:
    """1 − structural similarity (Wang et al. 2004): Gaussian windows of 11 pixels, σ 1.5."""
    try:
        from torchmetrics.functional.image import structural_similarity_index_measure
    except ModuleNotFoundError:
        raise MissingExtraError(
            "--autoencoder.reconstruction ssim", "torchmetrics", "train"
        ) from None
    similarity = structural_similarity_index_measure(reconstruction, pixels, data_range=1.0)
    assert isinstance(similarity, Tensor)
    return 1 - similarity


def edges(pixels: Tensor) -> Tensor:
    """(b, 1, h, w) in [0, 1]: the length of Sobel's gradient of the grey image, over its most.

    The greatest length that Sobel's sums reach in such an image is √20.
    """
    grey = F.pad(pixels.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    rise = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], device=pixels.device)
    both = torch.stack([rise, rise.T])[:, None].to(pixels.dtype)
    return (F.conv2d(grey, both).square().sum(1, keepdim=True).sqrt() / 20**0.5).clamp(max=1)


def boundary(reconstruction: Tensor, pixels: Tensor) -> Tensor:
    """The mean squared error, an edge's counting up to 5 times: objects are told by outlines.

    The weighted mean of each image, then their mean, so that images count the same in any batch.
    """
    weights = 1 + EDGE * edges(pixels)
    errors = ((reconstruction - pixels).square() * weights).sum((1, 2, 3))
    return (errors / (weights.sum((1, 2, 3)) * pixels.shape[1])).mean()


RECONSTRUCTION: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": F.mse_loss,
    "ssim": ssim,
    "boundary": boundary,
}
"""The losses by name."""
