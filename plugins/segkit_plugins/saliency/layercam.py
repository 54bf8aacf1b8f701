"""LayerCAM: activations weighted place by place with their positive gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from segkit import Saliency, hookimpl
from segkit_plugins.saliency._cam import ClassActivationMap


class LayerCAM(ClassActivationMap):
    """LayerCAM (Jiang et al. 2021, equations 6 and 7) of an image classifier.

    Each place of each channel is weighted by its own gradient where that is positive; the sum
    through ReLU is the map. It stays sharp in early layers (`--layercam.layer`). For all else see
    `gradcam`.
    """

    name = "layercam"
    concurrent = True

    def combine(self, activations: Any, gradients: Any) -> Any:
        """ReLU of the channels' sum (B, h, w), weighted by positive gradients."""
        return (gradients.relu() * activations).sum(dim=1).relu()


@hookimpl
def segkit_saliency() -> Sequence[type[Saliency]]:
    """Register `layercam`."""
    return [LayerCAM]
