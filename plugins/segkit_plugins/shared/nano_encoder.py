"""`nano`'s image encoder: EfficientNet-Lite0, fine-tuned, and a pyramid of its maps.

Its maps at strides 4 to 32 are summed at stride 8, with a context from the deepest two and a
shallow stem that sees small things. Two more layers say of each place whether the thing that the
picture is about lies there, and whether a person does: what `--saliency objectness` shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from segkit import Image
from segkit_plugins.shared.devices import to_device
from segkit_plugins.shared.lite0 import bare_lite0, load_lite0
from segkit_plugins.shared.lite0_folded import WIDTHS, FoldedLite0
from segkit_plugins.shared.weights import undrawn

SIDE = 320
"""The input's side in pixels; shapes below are those for it."""
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
"""Normalisation of RGB in 0 … 255, as Segment Anything's."""
DIM = 64
"""Channels of the embedding proper."""
DEEP = 128
"""Channels of the context."""
FINE = (16, 8)
"""Channels of the fine maps at strides 4 and 2."""

_EMBEDDINGS: WeakKeyDictionary[Image, dict[Any, tuple[Tensor, tuple[int, int]]]] = (
    WeakKeyDictionary()
)
"""Embeddings of images that are still in use, by file of weights and device."""


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def conv(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    """3×3 convolution, normalisation over channels, GELU."""
    return nn.Sequential(nn.Conv2d(inside, outside, 3, stride, 1), ChannelNorm(outside), nn.GELU())


class Residual(nn.Module):
    """Two 3×3 convolutions beside the identity."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(dim, dim), nn.Conv2d(dim, dim, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, dim, h, w) to the same."""
        out: Tensor = x + self.body(x)
        return out


def silent(inside: int, outside: int) -> nn.Conv2d:
    """1×1 convolution that gives zero until it is trained."""
    layer = nn.Conv2d(inside, outside, 1)
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def resize(x: Tensor, side: int) -> Tensor:
    """Square maps to another side: averaged down, or bilinearly up."""
    if x.shape[-1] > side:
        return F.adaptive_avg_pool2d(x, side)
    return F.interpolate(x, size=(side, side), mode="bilinear", align_corners=False)


class Encoder(nn.Module):
    """Picture to embedding: (B, 3, 320, 320) normalised to (B, 64 + 64 + 128, 40, 40).

    The last 192 channels are the fine maps, folded as `nano` unfolds them.
    """

    def __init__(self, backbone: FoldedLite0, side: int = SIDE) -> None:
        super().__init__()
        self.img_size = side
        self.backbone = backbone
        half, quarter, _, sixteenth, last = WIDTHS
        self.to2 = conv(3, FINE[1], 2)
        self.to4 = conv(FINE[1], FINE[0], 2)
        self.to8 = conv(FINE[0], DIM, 2)
        self.lateral = nn.ModuleList(nn.Conv2d(c, DIM, 1) for c in WIDTHS[1:])
        self.mix = nn.Sequential(Residual(DIM), Residual(DIM), ChannelNorm(DIM))
        self.deep16, self.deep32 = nn.Conv2d(sixteenth, DEEP, 1), nn.Conv2d(last, DEEP, 1)
        self.whole = nn.Conv2d(last, DEEP, 1)
        self.context = nn.Sequential(Residual(DEEP), ChannelNorm(DEEP))
        self.tell = silent(DEEP, DIM)
        self.finer2, self.finer4 = silent(half, FINE[1]), silent(quarter, FINE[0])
        self.down4 = silent(DIM, FINE[0])
        self.thing = nn.Sequential(conv(DIM, DIM), nn.Conv2d(DIM, 1, 1))
        self.human = nn.Sequential(conv(DIM, DIM), nn.Conv2d(DIM, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """One tensor, as segment-anything expects."""
        x = x.contiguous(memory_format=torch.channels_last)
        first, *maps = self.backbone(x)
        half = self.to2(x)
        quarter = self.to4(half)
        total = self.to8(quarter)
        side = total.shape[-1]
        for layer, found in zip(self.lateral, maps, strict=True):
            # Projecting first keeps the resizing cheap.
            total = total + resize(layer(found), side)
        sixteenth, last = maps[2:]
        deep = self.deep32(last) + self.whole(last.mean((2, 3), keepdim=True))
        deep = self.context(self.deep16(sixteenth) + resize(deep, side // 2))
        embedding = self.mix(total + resize(self.tell(deep), side))
        half = half + self.finer2(first)
        quarter = quarter + self.finer4(maps[0]) + resize(self.down4(embedding), side * 2)
        return torch.cat(
            [embedding, F.pixel_unshuffle(quarter, 2), F.pixel_unshuffle(half, 4)], dim=1
        )

    def objectness(self, embedding: Tensor) -> Tensor:
        """Logits (B, 40, 40) of whether the thing that the picture is about lies there."""
        found: Tensor = self.thing(embedding[:, :DIM])[:, 0]
        return found

    def people(self, embedding: Tensor) -> Tensor:
        """Logits (B, 40, 40) of whether a person is seen there."""
        found: Tensor = self.human(embedding[:, :DIM])[:, 0]
        return found


def build_encoder(side: int = SIDE) -> Encoder:
    """The encoder on ImageNet's backbone, the rest with random weights, on the CPU."""
    return _encoder_on(load_lite0(), side)


def bare_encoder(side: int = SIDE) -> Encoder:
    """The encoder before it has weights: what its tensors hold is left open."""
    with undrawn():
        return _encoder_on(bare_lite0(), side)


def _encoder_on(backbone: nn.Module, side: int) -> Encoder:
    # Channels last, a CPU is a third quicker.
    return Encoder(FoldedLite0(backbone), side).to(memory_format=torch.channels_last)


def fitted(pixels: NDArray[np.uint8], side: int, device: str) -> tuple[Tensor, tuple[int, int]]:
    """Pixels (H, W, 3) as the encoder takes them, and how many rows and columns the image covers.

    (1, 3, side, side): the longer side resized to `side`, normalised, padded with zeros below and
    to the right; as Segment Anything prepares an image.
    """
    import PIL.Image

    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    rows, columns = (max(1, int(n * scale + 0.5)) for n in (height, width))
    picture = PIL.Image.fromarray(pixels).resize((columns, rows), PIL.Image.Resampling.BILINEAR)
    small = to_device(torch.from_numpy(np.array(picture)).permute(2, 0, 1), device).float()
    mean, std = (torch.tensor(v, device=device).view(3, 1, 1) for v in (MEAN, STD))
    normal = (small - mean) / std
    return F.pad(normal, (0, side - columns, 0, side - rows))[None], (rows, columns)


def embedding_of(
    encoder: Encoder, image: Image, weights: Path, device: str
) -> tuple[Tensor, tuple[int, int]]:
    """The embedding (1, 256, 40, 40), and how many rows and columns of the input the image covers.

    Worked out once for an image: steps whose encoders are of the same file of weights share it
    while the image lives.
    """
    return embeddings_of(encoder, [image], weights, device)[0]


def embeddings_of(
    encoder: Encoder, images: Sequence[Image], weights: Path, device: str
) -> list[tuple[Tensor, tuple[int, int]]]:
    """The same of several images, in one pass."""
    key = (weights.resolve(), weights.stat().st_mtime_ns, device)
    new = [image for image in images if key not in _EMBEDDINGS.setdefault(image, {})]
    if new:
        prepared = (fitted(image.pixels, encoder.img_size, device) for image in new)
        pixels, covered = zip(*prepared, strict=True)
        with torch.inference_mode():
            embeddings = encoder(torch.cat(pixels)).split(1)
        for image, embedding, size in zip(new, embeddings, covered, strict=True):
            _EMBEDDINGS[image][key] = embedding, size
    return [_EMBEDDINGS[image][key] for image in images]
