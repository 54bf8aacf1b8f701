"""U-Net: class maps by a network of convolutions that is trained from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import PositiveInt

from segkit import Segmenter, TrainedSegmenter, hookimpl

if TYPE_CHECKING:
    from torch import nn


class Unet(TrainedSegmenter):
    """The class of each pixel by a U-Net (Ronneberger, Fischer and Brox 2015).

    Five levels of two 3×3 convolutions with batch normalisation and ReLU, 2×2 max-pooling between
    them, 1024 channels at the bottom; on the way up transposed convolutions, to which the map of
    the same level is concatenated. Train it first: segkit train unet --dataset D -o FILE.

    Attention gates and pyramid pooling are off unless asked for.
    """

    name = "unet"
    concurrent = True

    width: PositiveInt = 64
    """Channels of the first level; they double at each level down, 64 to 1024. With weights, theirs
    count."""

    attention: bool = False
    """Attention gates on the skips (Oktay et al. 2018): the level below says which places of a skip
    pass. The uppermost skip, of the earliest features, has none. With weights, theirs counts."""

    pyramid: bool = False
    """Pyramid pooling at the bottom (Zhao et al. 2017): averages over the whole image and over 4, 9
    and 36 parts of it beside each place. With weights, theirs counts."""

    def network(self, classes: int) -> nn.Module:
        """Pixels (b, 3, h, w) to logits (b, classes, h, w), for any h and w."""
        from segkit_plugins.segmenter.unet.network import UNet

        return UNet(self.width, classes, self.attention, self.pyramid)


@hookimpl
def segkit_segmenters() -> Sequence[type[Segmenter]]:
    """Register `unet`."""
    return [Unet]
