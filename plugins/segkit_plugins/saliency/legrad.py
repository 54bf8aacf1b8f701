"""LeGrad: which patches a transformer's attention should heed more, summed over its blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import PositiveInt

from segkit import Saliency, hookimpl
from segkit_plugins.saliency._attended import Attended
from segkit_plugins.saliency._transformers import ClassAttentionMap


class LeGrad(ClassAttentionMap):
    """LeGrad (Bousselham et al. 2025, equations 5 to 8) of a vision transformer that classifies.

    Behind each block the mean of its tokens is classified as the last one's would be. The gradient
    of that class score with respect to the block's attention weights, through ReLU, is averaged
    over heads and queries: what is left for each patch is its part of the map. The maps of the last
    `blocks` blocks are summed. It takes no convolution and no single layer, so `layer` plays no
    part.

    Any transformer of timm or torchvision whose blocks attend to the whole picture, such as
    timm:vit_small_patch16_224, timm:deit_small_patch16_224 and torchvision:vit_b_16. For all else
    see `gradcam`.
    """

    name = "legrad"

    blocks: PositiveInt | None = None
    """How many of the last blocks are summed; left out: all."""

    def relevance(self, attended: Attended, target: int) -> Any:
        """The map (1, h, w) of one picture."""
        import torch

        total: Any = 0
        first = 0 if self.blocks is None else max(0, len(attended.tokens) - self.blocks)
        pairs = zip(attended.weights[first:], attended.tokens[first:], strict=True)
        for weights, tokens in pairs:
            with torch.enable_grad():
                score = attended.classify(tokens.mean(dim=1))[0, target]
            (gradient,) = torch.autograd.grad(score, weights, retain_graph=True)
            total = total + gradient.relu().mean(dim=(1, 2))
        return attended.as_map(total)


@hookimpl
def segkit_saliency() -> Sequence[type[Saliency]]:
    """Register `legrad`."""
    return [LeGrad]
