"""Grad-CAM++: Grad-CAM that weighs every place where a class shows, not only one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from segkit import Saliency, hookimpl
from segkit_plugins.saliency._cam import ClassActivationMap


class GradCAMPlusPlus(ClassActivationMap):
    """Grad-CAM++ (Chattopadhay et al. 2018, equations 10 and 19) of an image classifier.

    A channel's weight is the sum of its positive gradients, each weighted by the closed form that
    follows from an exponential of the score: g² / (2 g² + Σa · g³). Several objects of a class thus
    count alike, whatever their size. The weighted sum through ReLU is the map. For all else see
    `gradcam`.
    """

    name = "gradcam-plus-plus"
    concurrent = True

    def combine(self, activations: Any, gradients: Any) -> Any:
        """ReLU of the channels' weighted sum (B, h, w)."""
        squared = gradients**2
        below = 2 * squared + activations.sum(dim=(2, 3), keepdim=True) * squared * gradients
        # Where the gradient is zero both are, and the weight is too.
        shares = squared / below.where(below != 0, below.new_tensor(1))
        weights = (shares * gradients.relu()).sum(dim=(2, 3), keepdim=True)
        return (weights * activations).sum(dim=1).relu()


@hookimpl
def segkit_saliency() -> Sequence[type[Saliency]]:
    """Register `gradcam-plus-plus`."""
    return [GradCAMPlusPlus]
