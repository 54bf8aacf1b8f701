"""Grad-CAM: where a classifier sees a class, from the gradient of its score at one layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from segkit import Saliency, hookimpl
from segkit_plugins.saliency._cam import ClassActivationMap
from segkit_plugins.saliency._maps import channel_weighted


class GradCAM(ClassActivationMap):
    """Grad-CAM (Selvaraju et al. 2017, equations 1 and 2) of an image classifier.

    The gradient of a class score before softmax, averaged over each channel of one layer, weights
    that channel; the weighted sum through ReLU is the map. It is stretched to [0, 1], resized
    bilinearly to the image's size, and stretched again. The whole image is resized to the
    network's square input, without cropping, so the heatmap covers all of it. Where the classifier
    sees nothing of the class the heatmap is all zero; where it sees it everywhere alike, all one.
    A heatmap carries its class and the class's softmax probability.
    """

    name = "gradcam"
    concurrent = True

    def combine(self, activations: Any, gradients: Any) -> Any:
        """ReLU of the channels' sum (B, h, w), each channel weighted by its mean gradient."""
        return channel_weighted(activations, gradients)


@hookimpl
def segkit_saliency() -> Sequence[type[Saliency]]:
    """Register `gradcam`."""
    return [GradCAM]
