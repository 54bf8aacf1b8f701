"""XGrad-CAM: Grad-CAM whose weights follow from axioms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from segkit import Saliency, hookimpl
from segkit_plugins.saliency._cam import ClassActivationMap


class XGradCAM(ClassActivationMap):
    """XGrad-CAM (Fu et al. 2020, equation 8) of an image classifier.

    A channel's weight is the mean of its gradients, weighted by its activations' share of their
    sum; a channel without activation has none. The weighted sum through ReLU is the map. For all
    else see `gradcam`.
    """

    name = "xgradcam"
    concurrent = True

    def combine(self, activations: Any, gradients: Any) -> Any:
        """ReLU of the channels' weighted sum (B, h, w)."""
        total = activations.sum(dim=(2, 3), keepdim=True)
        safe = total.where(total.abs() > 1e-7, total.new_tensor(float("inf")))
        weights = (gradients * activations).sum(dim=(2, 3), keepdim=True) / safe
        return (weights * activations).sum(dim=1).relu()


@hookimpl
def segkit_saliency() -> Sequence[type[Saliency]]:
    """Register `xgradcam`."""
    return [XGradCAM]
