"""Masks on a GPU: what is kept of a crop's, their boxes, their pixels packed before they leave."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segkit_plugins.segmenter._prompted import Frame
from segkit_plugins.segmenter.sam.candidates import Box, Kept, Limits, cut_off
from segkit_plugins.shared.devices import to_host

SLACK = 0.1
"""How much a mask's stability may grow in full; masks that would need more are not enlarged."""


class DeviceCandidates:
    """Candidates of one crop, measured in full on the device batch by batch.

    What stays is what stays of `candidates.Candidates`.
    """

    def __init__(self, frame: Frame, limits: Limits, device: str) -> None:
        """`frame`: how the crop lies in the model; `device`: where its logits are."""
        self.frame, self.limits = frame, limits
        self._bits: list[NDArray[np.uint8]] = []
        self._scores: list[NDArray[np.float32]] = []
        self._boxes: list[NDArray[np.float32]] = []

    def add(self, low: Tensor, quality: Tensor) -> None:
        """Take candidates with logits (n, h, w) whose expected IoU is `quality` (n,)."""
        limits, (rows, columns) = self.limits, self.frame.covered
        hopeful = self._stability(low[:, :rows, :columns]) >= limits.stability - SLACK
        low, quality = low[hopeful], quality[hopeful]
        full = self.frame.logits(low)
        masks = full > limits.threshold
        # A mask without a pixel is no mask, whatever the thresholds.
        there = masks.view(torch.uint8).amax(dim=(1, 2)).bool()
        stable = (self._stability(full) >= limits.stability) & there
        masks = masks[stable]
        if len(masks):
            bits, scores, boxes = to_host(packed(masks), quality[stable], boxes_of(masks))
            self._bits += [*bits]
            self._scores.append(scores)
            self._boxes.append(boxes)

    def best(self, crop: Box, whole: tuple[int, int]) -> Kept:
        """Stable masks without duplicates, best first: greedy non-maximum suppression.

        `crop` is the box of the crop, first and after the last x and y, in an image of (H, W).
        """
        from torchvision.ops import nms

        boxes = np.concatenate([np.zeros((0, 4), np.float32), *self._boxes])
        scores = np.concatenate([np.zeros(0, np.float32), *self._scores])
        left = np.flatnonzero(~cut_off(boxes, crop, whole))
        kept = nms(*map(torch.from_numpy, (boxes[left], scores[left])), self.limits.overlap)
        places = left[kept.numpy()]
        return Kept([self._bits[i] for i in places], scores[places], boxes[places])

    def _stability(self, logits: Tensor) -> Tensor:
        """The IoU (n,) of masks of logits (n, H, W) by a higher and by a lower threshold."""
        limits = self.limits
        inner = (logits > limits.threshold + limits.offset).sum(dim=(1, 2))
        outer = (logits > limits.threshold - limits.offset).sum(dim=(1, 2))
        return inner / outer.clamp(min=1)


def boxes_of(masks: Tensor) -> Tensor:
    """(n, 4) float32 first and last x and y of masks (n, H, W) bool that are not empty."""
    ends = []
    pixels = masks.view(torch.uint8)  # whose maximum takes a CPU a sixth of the time of `any`
    for there in (pixels.amax(dim=1), pixels.amax(dim=2)):
        ends += [there.argmax(dim=1), there.shape[1] - 1 - there.flip(1).argmax(dim=1)]
    return torch.stack([ends[i] for i in (0, 2, 1, 3)], dim=1).float()


def packed(masks: Tensor) -> Tensor:
    """(n, bytes) uint8 of masks (n, H, W) bool, as numpy packs bits: the first pixel's is 128.

    On a GPU it is done there, so that an eighth has to be copied.
    """
    flat = masks.flatten(1)
    if not masks.is_cuda:
        return torch.from_numpy(np.packbits(flat.numpy(), axis=1))
    return packed_by_products(flat)


def packed_by_products(flat: Tensor) -> Tensor:
    """The same of (n, pixels) bool on any device."""
    missing = -flat.shape[1] % 8
    bits = torch.nn.functional.pad(flat.to(torch.uint8), (0, missing))
    bits = bits.reshape(len(flat), -1, 8)
    values = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.uint8, device=flat.device)
    return (bits * values).sum(dim=2, dtype=torch.uint8)
