"""The network of the segmenter `unet`."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from segkit_plugins.segmenter._unet_blocks import Decoder, PyramidPooling, double

LEVELS = 5


class UNet(nn.Module):
    """Pixels to logits of the same size; `width` channels at first, 16 times that at the bottom."""

    def __init__(self, width: int, classes: int, attention: bool, pyramid: bool) -> None:
        super().__init__()
        channels = [width * 2**level for level in range(LEVELS)]
        self.down = nn.ModuleList(
            double(inside, outside)
            for inside, outside in zip([3, *channels], channels, strict=False)
        )
        self.pyramid = PyramidPooling(channels[-1]) if pyramid else None
        self.up = Decoder(channels[-1], skips=channels[-2::-1], gates=attention)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """(b, 3, h, w) in [0, 1] to (b, classes, h, w); sides are padded to multiples of 16."""
        height, width = pixels.shape[-2:]
        step = 2 ** (LEVELS - 1)
        x = F.pad(pixels - 0.5, (0, -width % step, 0, -height % step))
        maps = []
        for index, level in enumerate(self.down):
            x = level(F.max_pool2d(x, 2) if index else x)
            maps.append(x)
        x = x if self.pyramid is None else self.pyramid(x)
        logits: Tensor = self.head(self.up(x, maps[-2::-1]))
        return logits[..., :height, :width]
