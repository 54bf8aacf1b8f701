"""Autoencoder: class maps by an encoder that first learns to reconstruct images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from segkit import Examples, Segmenter, TrainedSegmenter, hookimpl

if TYPE_CHECKING:
    from torch import Tensor, nn

RECONSTRUCT, SEGMENT = "reconstruct", "segment"


class Autoencoder(TrainedSegmenter):
    """The class of each pixel from the features of an autoencoder.

    Training has two stages. First an encoder of three blocks (3×3 convolution, batch normalisation,
    ReLU, 2×2 max-pooling; 256×256×3 to 32×32×256) and a decoder of three transposed convolutions
    learn to reconstruct the images. Then the encoder is frozen, and a head learns the classes:
    three 3×3 convolutions with ReLU from 256 to 32 channels, a 1×1 convolution, bilinear
    upsampling. The first stage learns at a rate of 1e-4, the second at 1e-5, as in a source report;
    `--train.rate` sets both.
    """

    name = "autoencoder"
    concurrent = True
    stages = (RECONSTRUCT, SEGMENT)
    stage_rates = {SEGMENT: 1e-5}

    reconstruction: Literal["mse", "ssim", "boundary"] = "mse"
    """What the first stage minimises: mse, the squared error; ssim, 1 − structural similarity (Wang
    et al. 2004); boundary, the squared error, up to 5 times as much where the image has edges."""

    def network(self, classes: int) -> nn.Module:
        """Pixels (b, 3, h, w) to logits (b, classes, h, w), h and w 8 or more."""
        from segkit_plugins.segmenter.autoencoder.network import AutoencoderNet

        return AutoencoderNet(classes)

    def begin(self, network: Any, stage: str) -> None:
        """Train all but the head, then the head alone."""
        network.freeze(stage == SEGMENT)

    def loss(
        self,
        network: Any,
        stage: str,
        examples: Examples,
        criterion: Callable[[Tensor, Tensor], Tensor],
    ) -> tuple[Tensor, Tensor | None]:
        """The reconstruction's loss, then that of the class map."""
        if stage == SEGMENT:
            return super().loss(network, stage, examples, criterion)
        import torch

        from segkit_plugins.segmenter.autoencoder.network import RECONSTRUCTION

        reconstruction = network.reconstruct(examples.pixels)
        with torch.autocast(reconstruction.device.type, enabled=False):  # variances need the digits
            return RECONSTRUCTION[self.reconstruction](
                reconstruction.float(), examples.pixels
            ), None


@hookimpl
def segkit_segmenters() -> Sequence[type[Segmenter]]:
    """Register `autoencoder`."""
    return [Autoencoder]
