"""Transformer attribution: attention, weighted by how a class score depends on it."""

from collections.abc import Sequence
from typing import Any

from segkit import Saliency, hookimpl
from segkit_plugins.saliency import Attended, ClassAttentionMap


class Chefer(ClassAttentionMap):
    """Chefer, Gur and Wolf's relevance (ICCV 2021, equations 5 and 6) of a vision transformer.

    Each block's attention A is multiplied, place by place, by the gradient of the class score with
    respect to it; what is positive is averaged over the heads: Ā = E_h((∇A ⊙ A)⁺). Relevance
    begins as R = I and grows from the first block to the last: R ← R + Ā R. The map is R's row of
    the class token at the patches; of a network whose score is made of the mean patch, the mean of
    the patches' rows.

    Any transformer of timm or torchvision that classifies and whose blocks attend to the whole
    picture, such as timm:vit_small_patch16_224 and torchvision:vit_b_16. `layer` plays no part. For
    all else see segkit's `gradcam`.
    """

    name = "chefer"

    def relevance(self, attended: Attended, target: int) -> Any:
        """The map (1, h, w) of one picture."""
        import torch

        score = attended.scores[0, target]
        gradients = torch.autograd.grad(score, attended.weights)
        tokens = attended.weights[0].shape[-1]
        relevance = torch.eye(tokens, device=score.device)[None]
        for weights, gradient in zip(attended.weights, gradients, strict=True):
            positive = (gradient * weights.detach()).relu().mean(dim=1)
            relevance = relevance + positive @ relevance
        return attended.as_map(relevance[:, attended.read].mean(dim=1))


@hookimpl
def segkit_saliency() -> Sequence[type[Saliency]]:
    """What this module adds to segkit."""
    return [Chefer]
