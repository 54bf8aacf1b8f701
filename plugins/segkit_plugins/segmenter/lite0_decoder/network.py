"""The network of the segmenter `lite0-decoder`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segkit_plugins.segmenter._unet_blocks import Decoder
from segkit_plugins.shared.lite0 import CHANNELS, MEAN, STD, features, load_lite0

STRIDE = 32
PROJECTED = 1024


class Lite0Net(nn.Module):
    """EfficientNet-Lite0 and a decoder; `frozen`: the backbone learns nothing."""

    mean: Tensor
    std: Tensor

    def __init__(self, classes: int, skips: bool, frozen: bool) -> None:
        super().__init__()
        self.frozen, self.skips = frozen, skips
        self.backbone = load_lite0().requires_grad_(not frozen)
        *earlier, last = CHANNELS
        self.project = nn.Conv2d(last, PROJECTED, 1)
        self.decoder = Decoder(PROJECTED, (*earlier[::-1], 0) if skips else (0, 0, 0, 0))
        self.head = nn.Conv2d(self.decoder.outside, classes, 1)
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> Lite0Net:
        """As ever, but the batch statistics of a frozen backbone stay as they are."""
        super().train(mode)
        self.backbone.train(mode and not self.frozen)
        return self

    def forward(self, pixels: Tensor) -> Tensor:
        """(b, 3, h, w) in [0, 1] to (b, classes, h, w); sides are padded to multiples of 32."""
        height, width = pixels.shape[-2:]
        pads = (0, -width % STRIDE, 0, -height % STRIDE)
        x = F.pad((pixels - self.mean) / self.std, pads)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            *earlier, last = features(self.backbone, x)
        decoded = self.decoder(self.project(last), [*earlier[::-1], None] if self.skips else ())
        return F.interpolate(self.head(decoded), x.shape[-2:], mode="bilinear")[
            ..., :height, :width
        ]
