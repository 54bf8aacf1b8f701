"""Lite0 decoder: class maps from the features of EfficientNet-Lite0, pre-trained on ImageNet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from segkit import Segmenter, TrainedSegmenter, hookimpl

if TYPE_CHECKING:
    from torch import nn


class Lite0Decoder(TrainedSegmenter):
    """The class of each pixel by a U-Net's decoder on EfficientNet-Lite0.

    The backbone comes with its ImageNet weights, without a download. Its last map (320 channels at
    stride 32) is projected to 1024 channels, four levels of transposed convolutions lead up to
    stride 2, and the logits are resized to the image bilinearly.
    """

    name = "lite0-decoder"
    concurrent = True
    train_rate = 1e-5

    skips: bool = False
    """Whether the backbone's maps at strides 16, 8 and 4 are concatenated on the way up, as in a
    U-Net; it draws finer outlines. With weights, theirs counts."""

    frozen: bool = False
    """Whether the backbone stays as it is and the decoder alone is trained."""

    def network(self, classes: int) -> nn.Module:
        """Pixels (b, 3, h, w) to logits (b, classes, h, w), for any h and w."""
        from segkit_plugins.segmenter.lite0_decoder.network import Lite0Net

        return Lite0Net(classes, self.skips, self.frozen)


@hookimpl
def segkit_segmenters() -> Sequence[type[Segmenter]]:
    """Register `lite0-decoder`."""
    return [Lite0Decoder]
