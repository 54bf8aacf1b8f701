"""Tiny networks with random weights, and what they are shown."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from segkit import Image


def vit(folder: Path, seed: int = 1) -> tuple[Any, dict[str, Any]]:
    """timm's smallest vision transformer, and the options that name it."""
    import timm

    torch.manual_seed(seed)
    network = timm.create_model("test_vit", num_classes=3).eval()
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    torch.save(network.state_dict(), folder / "vit.pth")
    return network, {"model": "timm:test_vit", "checkpoint": str(folder / "vit.pth")}


def resnet(folder: Path) -> tuple[Any, dict[str, Any]]:
    """A ResNet-18 of 7 classes, and the options that name it."""
    from torchvision.models import resnet18

    torch.manual_seed(3)
    network = resnet18(num_classes=7).eval()
    # Gradients far above the 1e-6 that peers add to a denominator of Grad-CAM++.
    network.fc.weight.data *= 1e4
    torch.save(network.state_dict(), folder / "resnet.pth")
    return network, {"model": "torchvision:resnet18", "checkpoint": str(folder / "resnet.pth")}


def noise(side: int, seed: int = 0) -> Image:
    """A picture of a network's own size, so that nothing is resized on the way in."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    return Image(pixels, f"noise-{seed}")


def normalised(image: Image, mean: Any = None, std: Any = None) -> torch.Tensor:
    """A picture as a network of timm's or torchvision's takes it, (1, 3, S, S)."""
    mean = (0.485, 0.456, 0.406) if mean is None else mean
    std = (0.229, 0.224, 0.225) if std is None else std
    pixels = torch.from_numpy(image.pixels.copy()).permute(2, 0, 1) / 255
    shift, scale = (torch.tensor(v).view(1, 3, 1, 1) for v in (mean, std))
    own: torch.Tensor = (pixels - shift) / scale
    return own


def enlarged(low: NDArray[Any], side: int) -> NDArray[np.float32]:
    """A map stretched to [0, 1], enlarged bilinearly to (side, side), and stretched again."""
    from scipy.ndimage import map_coordinates

    def stretched(values: NDArray[Any]) -> NDArray[Any]:
        spread: NDArray[Any] = (values - values.min()) / (values.max() - values.min())
        return spread

    places = ((np.arange(side) + 0.5) * len(low) / side - 0.5).clip(0, len(low) - 1)
    grid = np.meshgrid(places, places, indexing="ij")
    high = map_coordinates(stretched(low.astype(np.float64)), grid, order=1)
    return stretched(high).astype(np.float32)
