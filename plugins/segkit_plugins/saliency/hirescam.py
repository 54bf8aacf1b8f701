"""HiResCAM: gradient times activation at each place, without averaging."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from segkit import Saliency, hookimpl
from segkit_plugins.saliency._cam import ClassActivationMap


class HiResCAM(ClassActivationMap):
    """HiResCAM (Draelos & Carin 2020, equation 5) of an image classifier.

    Activations times gradients, place by place, summed over channels, through ReLU: what the map
    shows is what the score was made of, if the network is linear behind the layer. For all else
    see `gradcam`.
    """

    name = "hirescam"
    concurrent = True

    def combine(self, activations: Any, gradients: Any) -> Any:
        """ReLU of the channels' sum (B, h, w), each place weighted by its own gradient."""
        return (gradients * activations).sum(dim=1).relu()


@hookimpl
def segkit_saliency() -> Sequence[type[Saliency]]:
    """Register `hirescam`."""
    return [HiResCAM]
