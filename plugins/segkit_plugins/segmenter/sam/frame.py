"""Between the image's pixels, the model's input and its low-resolution logits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

PIXELS = 1 << 26
"""Masks' pixels that are worked on as floats at a time: 256 MiB."""


@dataclass(frozen=True)
class Frame:
    """How one image lies in the model's square input.

    segment-anything resizes the longer side to the model's, pads below and to the right, and makes
    logits at a fraction of that size.
    """

    side: int
    """The model's input in pixels, e.g. 1024."""
    low: int
    """The logits' side, e.g. 256."""
    input_size: tuple[int, int]
    """(H, W) of the resized image inside the input."""
    size: tuple[int, int]
    """(H, W) of the image itself."""
    device: str
    """Where the matrices live."""

    @property
    def covered(self) -> tuple[int, int]:
        """Rows and columns of the logits that the image covers; the rest is padding."""
        rows, columns = (max(1, -(-n * self.low // self.side)) for n in self.input_size)
        return rows, columns

    @cached_property
    def _matrices(self) -> tuple[Tensor, Tensor]:
        """(H, low) and (low, W)."""

        def resizing(kept: int, wanted: int) -> Tensor:
            """(wanted, low): both steps along one axis."""
            unit = torch.eye(self.low, device=self.device)[None, None]
            large = F.interpolate(unit, (self.side, self.low), mode="bilinear", align_corners=False)
            return F.interpolate(
                large[:, :, :kept], (wanted, self.low), mode="bilinear", align_corners=False
            )[0, 0]

        down = resizing(self.input_size[0], self.size[0])
        across = resizing(self.input_size[1], self.size[1]).T.contiguous()
        return down, across

    def logits(self, low: Tensor) -> Tensor:
        """Logits (…, low, low) in the image's size (…, H, W).

        segment-anything resizes every mask to the model's input (1024×1024), cuts the padding off
        and resizes again to the image. Both are linear and go row by row and column by column, so
        two small matrices do the same to the last bit of rounding, without the large masks.
        """
        down, across = self._matrices
        return down @ (low @ across)

    def masks(self, low: Tensor, threshold: float) -> Tensor:
        """Masks (n, c, H, W) bool of logits (n, c, low, low), a few at a time."""
        # A large photo's masks are many numbers before the threshold.
        few = max(1, PIXELS // (low.shape[1] * self.size[0] * self.size[1]))
        return torch.cat([self.logits(part) > threshold for part in torch.split(low, few)])

    def given(self, mask: NDArray[np.float32]) -> Tensor:
        """Logits (h, w) of the whole image as the model takes them: padded, (1, low, low)."""
        rows, columns = self.covered
        whole = torch.from_numpy(mask.copy()).to(self.device)[None, None]
        fitted = F.interpolate(whole, (rows, columns), mode="bilinear", align_corners=False)
        padding = (0, self.low - columns, 0, self.low - rows)
        return F.pad(fitted[0], padding, value=float(mask.min()))
