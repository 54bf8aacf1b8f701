"""Eigen-CAM: the main direction of a layer, whatever the class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from segkit import Saliency, hookimpl
from segkit_plugins.saliency._cam import ClassActivationMap, Seen


class EigenCAM(ClassActivationMap):
    """Eigen-CAM (Muhammad & Yeasin 2020) of an image classifier.

    The layer's activations, with each channel's mean taken out, projected on their first principal
    component; what lies on its positive side is the map. A principal component has no sign of its
    own: it is turned so that strongly activated places are positive. No class enters, so all
    targets of an image have the same map. For all else see `gradcam`.
    """

    name = "eigencam"
    concurrent = True

    def explain(self, seen: Seen) -> Any:
        """Maps (n, h, w); scores and classes play no part."""
        import torch

        activations = seen.activations.detach()[list(seen.rows)].float()
        places = activations.flatten(2).transpose(1, 2)  # (n, h·w, C)
        places = places - places.mean(dim=1, keepdim=True)
        main = torch.linalg.svd(places, full_matrices=False).Vh[:, :1]  # (n, 1, C)
        maps = (places * main).sum(dim=2)
        strength = activations.flatten(2).sum(dim=1)
        turned = ((strength - strength.mean(dim=1, keepdim=True)) * maps).sum(dim=1, keepdim=True)
        maps = torch.where(turned < 0, -maps, maps)
        return maps.view(len(maps), *activations.shape[2:]).relu()


@hookimpl
def segkit_saliency() -> Sequence[type[Saliency]]:
    """Register `eigencam`."""
    return [EigenCAM]
