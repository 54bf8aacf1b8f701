"""Random changes of image and target together, by torchvision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from segkit.training.settings import Settings
from segkit.values.types import VOID

GREY = 127
"""What comes into an image from beyond its border; in the target that is void."""

GRID = 3
WAVES = 10 / 572
"""The elastic distortion, as U-Net's authors made it (Ronneberger et al. 2015, section 3.1): places
move by normal deviations on a 3×3 grid, 10 of 572 pixels, interpolated bicubically in between."""


def augmentation(settings: Settings, size: int) -> Callable[[Tensor, Tensor], Any] | None:
    """(3, S, S) uint8 and (S, S) uint8 to the same; None where nothing is to be changed.

    All randomness comes from torch's global generator.
    """
    from torchvision import tv_tensors
    from torchvision.transforms import InterpolationMode, v2

    fill = {tv_tensors.Image: GREY, tv_tensors.Mask: VOID}
    first: list[Any] = []
    if settings.crop < 1:
        part = {"scale": (settings.crop, 1.0), "ratio": (1.0, 1.0)}
        first.append(v2.RandomResizedCrop(size, **part, antialias=True))
    if settings.flip:
        first.append(v2.RandomHorizontalFlip())
    if settings.flip_vertical:
        first.append(v2.RandomVerticalFlip())
    if settings.rotate:
        bilinear = InterpolationMode.BILINEAR
        first.append(v2.RandomRotation(settings.degrees, interpolation=bilinear, fill=fill))
    move = v2.Compose(first) if first else None
    jitter = v2.ColorJitter(0.2, 0.2, 0.2, 0.02) if settings.jitter else None
    if not settings.augment or not (move or settings.elastic or jitter):
        return None

    def change(pixels: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        image, mask = tv_tensors.Image(pixels), tv_tensors.Mask(target[None])
        if move:
            image, mask = move(image, mask)
        if settings.elastic:
            shift = torch.randn(1, 2, GRID, GRID) * 2 * WAVES  # sides are 2 long to torchvision
            shift = F.interpolate(shift, (size, size), mode="bicubic", align_corners=True)
            shift = shift.permute(0, 2, 3, 1)
            image = v2.functional.elastic(image, shift, fill=GREY)
            mask = v2.functional.elastic(mask, shift, fill=VOID)
        if jitter:
            image = jitter(image)
        return image.as_subclass(Tensor), mask.as_subclass(Tensor)[0]

    return change
