"""LeGrad: which patches a transformer's attention should heed more, summed over its blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import PositiveInt, PrivateAttr

from segkit import Saliency, UsageError, hookimpl
from segkit_plugins.saliency._cam import ClassActivationMap, Seen


class LeGrad(ClassActivationMap):
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

    model: str
    """The classifier: timm:NAME or torchvision:NAME of a vision transformer, with a checkpoint."""
    blocks: PositiveInt | None = None
    """How many of the last blocks are summed; left out: all."""

    _transformer: Any = PrivateAttr(None)

    def open(self, device: str) -> None:
        """Load the classifier, frozen.

        Raises `UsageError` also for one that is no vision transformer of that kind.
        """
        from segkit_plugins.saliency._attentions import laid_out, transformer_of

        super().open(device)
        own = self._classifier
        try:
            transformer = transformer_of(own.network)
            attention, _ = transformer.attend(own.mean.expand(1, 3, own.size, own.size))
            laid_out(attention[-1].mean(dim=(1, 2)))
        except LookupError as error:
            raise UsageError(
                f"--{self.name}.model {self.model} is no vision transformer that can be looked "
                f"into ({error}); choose another one, such as timm:vit_small_patch16_224"
            ) from None
        self._transformer = transformer

    def restrict(self, names: Sequence[str]) -> None:
        """Look for these classes alone, as every classifier does."""
        from segkit_plugins.saliency._attentions import transformer_of

        super().restrict(names)
        self._transformer = transformer_of(self._classifier.network)

    def close(self) -> None:
        """Drop the classifier."""
        super().close()
        self._transformer = None

    def explain(self, seen: Seen) -> Any:
        """Maps (n, h, w): one for each of the rows and its class."""
        import torch

        pairs = zip(seen.rows, seen.classes, strict=True)
        return torch.cat([self._one(seen.pixels[i : i + 1], target) for i, target in pairs])

    def _one(self, pixels: Any, target: int) -> Any:
        """The map (1, h, w) of one image (1, 3, S, S)."""
        import torch

        from segkit_plugins.saliency._attentions import laid_out

        attention, tokens = self._transformer.attend(pixels)
        total: Any = 0
        first = 0 if self.blocks is None else max(0, len(tokens) - self.blocks)
        for weights, left in zip(attention[first:], tokens[first:], strict=True):
            with torch.enable_grad():
                score = self._transformer.classify(left.mean(dim=1))[0, target]
            (gradient,) = torch.autograd.grad(score, weights, retain_graph=True)
            total = total + gradient.relu().mean(dim=(1, 2))
        return laid_out(total)


@hookimpl
def segkit_saliency() -> Sequence[type[Saliency]]:
    """Register `legrad`."""
    return [LeGrad]
