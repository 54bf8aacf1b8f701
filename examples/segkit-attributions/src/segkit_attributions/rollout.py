"""Attention rollout: what reaches a transformer's output through all its blocks' attention."""

from collections.abc import Sequence
from typing import Any, Literal

from segkit import Saliency, hookimpl
from segkit_plugins.saliency import Attended, AttentionMap


class Rollout(AttentionMap):
    """Attention rollout (Abnar & Zuidema 2020, section 3) of a vision transformer.

    Each block's attention A, averaged over its heads, is mixed with what its skip connection hands
    on, Â = (A + I) / 2, its rows are scaled to sum to 1, and the blocks are multiplied, the last
    one leftmost: R = Â_L … Â_2 Â_1. The map is R's row of the class token at the patches; of a
    network whose score is made of the mean patch, the mean of the patches' rows. It knows no class.

    Any transformer of timm or torchvision whose blocks attend to the whole picture, such as
    timm:vit_small_patch16_224 and torchvision:vit_b_16, with its head or without.
    """

    name = "rollout"

    heads: Literal["mean", "max", "min"] = "mean"
    """What is made of a block's heads: their mean, as in the paper, or at each place the greatest
    or the least of them."""

    def relevance(self, attended: Attended) -> Any:
        """The map (1, h, w) of one picture."""
        import torch

        fuse: Any = {"mean": torch.mean, "max": torch.amax, "min": torch.amin}[self.heads]
        rolled: Any = None
        for weights in attended.weights:
            fused = fuse(weights, dim=1)
            mixed = (fused + torch.eye(fused.shape[-1], device=fused.device)) / 2
            mixed = mixed / mixed.sum(dim=-1, keepdim=True)
            rolled = mixed if rolled is None else mixed @ rolled
        return attended.as_map(rolled[:, attended.read].mean(dim=1))


@hookimpl
def segkit_saliency() -> Sequence[type[Saliency]]:
    """What this module adds to segkit."""
    return [Rollout]
