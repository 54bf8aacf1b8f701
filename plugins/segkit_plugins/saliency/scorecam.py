"""Score-CAM: channels weighted by how much of the score each of them keeps alive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import PositiveInt

from segkit import Saliency, hookimpl
from segkit_plugins.saliency._cam import ClassActivationMap, Seen


class ScoreCAM(ClassActivationMap):
    """Score-CAM (Wang et al. 2020, algorithm 1) of an image classifier; it needs no gradients.

    Each channel, resized to the input and stretched to [0, 1], masks the image; the class's score
    of the masked image, through softmax over the channels, is the channel's weight. The weighted
    sum through ReLU is the map. It costs one forward pass for each channel, so it is slow: some
    hundred times as slow as `gradcam`. For all else see `gradcam`.
    """

    name = "scorecam"
    concurrent = True

    channels_at_once: PositiveInt = 32
    """How many masked images go through the network together; bounds memory."""

    def explain(self, seen: Seen) -> Any:
        """Maps (n, h, w)."""
        import torch

        with torch.no_grad():
            pairs = zip(seen.rows, seen.classes, strict=True)
            maps = [self._one(seen.pixels[i], seen.activations[i], c) for i, c in pairs]
            return torch.stack(maps)

    def _one(self, pixels: Any, activations: Any, target: int) -> Any:
        """The map (h, w) of one image (3, S, S) for one class."""
        import torch
        import torch.nn.functional as F

        channels = activations.detach()
        kept = []
        for chunk in channels.split(self.channels_at_once):
            masks = F.interpolate(
                chunk[:, None], pixels.shape[-2:], mode="bilinear", align_corners=False
            )
            low, high = masks.amin((2, 3), keepdim=True), masks.amax((2, 3), keepdim=True)
            masks = (masks - low) / (high - low + 1e-8)  # a flat channel hides all
            kept.append(self.network(pixels * masks)[:, target])
        weights = torch.cat(kept).softmax(dim=0)
        return (weights[:, None, None] * channels).sum(dim=0).relu()


@hookimpl
def segkit_saliency() -> Sequence[type[Saliency]]:
    """Register `scorecam`."""
    return [ScoreCAM]
