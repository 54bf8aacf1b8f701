"""The bundled `shapes` classifier: a small network whose class evidence lies on the object.

The maps of a frozen EfficientNet-Lite0 at strides 8 to 32 and a shallow trained stem are summed
at stride 8; residual blocks of growing dilation let each place of the 32×32 map see the whole
object around it. A 1×1 convolution without bias makes a map of evidence for each class, and
log-sum-exp pooling its score. Because everything behind the last
block is linear up to the pooling, Grad-CAM at that block is the class's evidence map up to a
factor (Zhou et al. 2016; Selvaraju et al. 2017, appendix A).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segkit_plugins.shared.drawing import CLASSES
from segkit_plugins.shared.lite0 import CHANNELS, features, load_lite0
from segkit_plugins.shared.lite0 import MEAN as MEAN
from segkit_plugins.shared.lite0 import STD as STD
from segkit_plugins.shared.weights import bundled, fill, load_safetensors

NAMES = tuple(CLASSES[i] for i in sorted(CLASSES))
"""Class names in the order of the outputs."""

SIZE = 256
"""Side of the input in pixels."""

LAYER = "blocks"
"""Where Grad-CAM looks: the last block's output, 64 channels at stride 8."""

WIDTH = 64
SHARPNESS = 4.0
"""Of the pooling: 0 is the mean, infinity the maximum."""


def conv(inside: int, outside: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """3×3 convolution, batch normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride, dilation, dilation, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(),
    )


class Block(nn.Module):
    """A dilated and a plain convolution beside the identity, then ReLU."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(WIDTH, WIDTH, dilation=dilation),
            nn.Conv2d(WIDTH, WIDTH, 3, 1, 1, bias=False),
            nn.BatchNorm2d(WIDTH),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, 64, h, w) to the same."""
        return torch.relu(x + self.body(x))


class ShapesNet(nn.Module):
    """Pictures (B, 3, 256, 256), normalised, to class scores (B, 5) before softmax."""

    backbone: Any

    def __init__(self) -> None:
        super().__init__()
        # Not a submodule: its weights come from their own package and are not saved here.
        self.__dict__["backbone"] = load_lite0()
        self.stem = nn.Sequential(conv(3, 16, 2), conv(16, 32, 2), conv(32, WIDTH, 2))
        self.lateral = nn.ModuleList(nn.Conv2d(c, WIDTH, 1) for c in CHANNELS[1:])
        self.blocks = nn.Sequential(*(Block(d) for d in (1, 2, 4, 1)))
        self.evidence = nn.Conv2d(WIDTH, len(NAMES), 1, bias=False)

    def _apply(self, fn: Any, recurse: bool = True) -> ShapesNet:
        """Move the backbone along, though it is no submodule."""
        self.backbone._apply(fn)
        super()._apply(fn, recurse)
        return self

    def maps(self, pixels: Tensor) -> Tensor:
        """Evidence for each class at each place: (B, 5, 32, 32)."""
        with torch.no_grad():
            backbone_maps = features(self.backbone, pixels)[1:]
        total = self.stem(pixels)
        for layer, each in zip(self.lateral, backbone_maps, strict=True):
            total = total + F.interpolate(layer(each), total.shape[-2:], mode="bilinear")
        evidence: Tensor = self.evidence(self.blocks(total))
        return evidence

    def forward(self, pixels: Tensor) -> Tensor:
        """Class scores (B, 5)."""
        return pooled(self.maps(pixels))


def pooled(maps: Tensor) -> Tensor:
    """Log-sum-exp pooling (B, K, h, w) → (B, K); Pinheiro and Collobert 2015, eq. 6."""
    flat = maps.flatten(2)
    count = torch.tensor(float(flat.shape[-1]), device=maps.device)
    return (torch.logsumexp(SHARPNESS * flat, dim=2) - torch.log(count)) / SHARPNESS


def load(device: str = "cpu") -> nn.Module:
    """The network with its bundled weights, in evaluation mode, frozen."""
    network = ShapesNet()
    path = bundled("shapes")
    fill(network, load_safetensors(path), path, "the shapes classifier")
    return network.to(device).eval().requires_grad_(False)
