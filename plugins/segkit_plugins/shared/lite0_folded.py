"""EfficientNet-Lite0's convolutions with their normalisations folded in: to be trained on, or fast.

A normalisation in evaluation mode scales and shifts each channel, which the convolution before it
can do as well: w' = w · γ / √(σ² + ε), b' = β − μ · γ / √(σ² + ε). What the network computes stays
the same but for rounding, with half as many layers.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (16, 24, 40, 112, 320)
"""Channels of the maps at strides 2, 4, 8, 16 and 32."""

ENDS = (0, 2, 4, 10, 15)
"""The blocks after which the map of each of those strides is complete."""


class Folded(nn.Conv2d):
    """A convolution with "same" padding as TensorFlow's: at stride 2 one pixel more at the end."""

    def __init__(self, convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
        size, stride = convolution.kernel_size[0], convolution.stride[0]
        super().__init__(
            convolution.in_channels,
            convolution.out_channels,
            size,
            stride,
            padding=(size - 1) // 2 if stride == 1 else 0,
            groups=convolution.groups,
        )
        total = max(size - stride, 0)
        self.before = (total // 2, total - total // 2) * 2 if stride > 1 else ()
        variance, mean = norm.running_var, norm.running_mean
        assert variance is not None
        assert mean is not None
        assert self.bias is not None
        with torch.no_grad():
            scale = norm.weight / (variance + norm.eps).sqrt()
            self.weight.copy_(convolution.weight * scale.view(-1, 1, 1, 1))
            self.bias.copy_(norm.bias - mean * scale)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), sides even at stride 2, to (B, D, H / stride, W / stride)."""
        return super().forward(F.pad(x, self.before) if self.before else x)


class Block(nn.Module):
    """An inverted residual (Sandler et al. 2018): widen, look around, narrow."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        wide = block._block_args.expand_ratio != 1
        self.expand = Folded(block._expand_conv, block._bn0) if wide else None
        self.depthwise = Folded(block._depthwise_conv, block._bn1)
        self.project = Folded(block._project_conv, block._bn2)
        same = self.depthwise.stride[0] == 1
        first = self.expand or self.depthwise
        self.residual = same and first.in_channels == self.project.out_channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, D, H / stride, W / stride)."""
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.residual else y


class FoldedLite0(nn.Module):
    """EfficientNet-Lite0 (without its last layers), of the network that the pip package makes."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.stem = Folded(network._conv_stem, network._bn0)
        self.blocks = nn.ModuleList(Block(block) for block in network._blocks)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Normalised pixels (B, 3, H, W), sides multiples of 32, to the maps at strides 2 to 32."""
        x = F.relu6(self.stem(x))
        maps = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in ENDS:
                maps.append(x)
        return maps
