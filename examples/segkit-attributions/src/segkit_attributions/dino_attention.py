"""What the class token of a transformer's last block attends to, as DINO shows it."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, NonNegativeInt
from segkit import Saliency, UsageError, hookimpl
from segkit_plugins.saliency import Attended, AttentionMap


class DinoAttention(AttentionMap):
    """The last block's self-attention (Caron et al. 2021, section 4.2 and figure 3).

    Of each head the class token's attention to the patches, scaled to sum to 1; of that the
    strongest patches which together have `mass` of it, the others being 0; the mean over the heads,
    or one `head` alone. Self-supervised weights such as timm:vit_small_patch16_224.dino show
    objects so; those of classifiers do it less. It knows no class.

    Any transformer of timm or torchvision with a class token, whose blocks attend to the whole
    picture.
    """

    name = "dino-attention"

    head: NonNegativeInt | None = None
    """One head alone, by its number from 0; left out: the mean of all."""
    mass: Annotated[float, Field(gt=0, le=1)] = 0.6
    """Which share of a head's attention is kept, its strongest first; 1: all of it."""

    def check(self, attended: Attended) -> None:
        """Refuse a transformer without a class token, and a head that it has not."""
        if not attended.others:
            raise LookupError("it has no class token, whose attention is shown")
        heads = attended.weights[-1].shape[1]
        if self.head is not None and self.head >= heads:
            raise UsageError(
                f"--{self.name}.head {self.head}: the last block of {self.model} has heads 0 to "
                f"{heads - 1}; choose one of them, or leave it out for all"
            )

    def relevance(self, attended: Attended) -> Any:
        """The map (1, h, w) of one picture."""
        import torch

        others = attended.others
        heads = attended.weights[-1][:, :, 0, others:]  # (1, heads, patches)
        if self.head is not None:
            heads = heads[:, self.head : self.head + 1]
        shares = heads / heads.sum(dim=-1, keepdim=True)
        ordered, places = shares.sort(dim=-1, descending=True, stable=True)
        before = ordered.cumsum(dim=-1) - ordered
        kept = torch.where(before < self.mass, ordered, 0)
        mean = torch.zeros_like(shares).scatter(-1, places, kept).mean(dim=1)
        return attended.as_map(torch.cat([mean.new_zeros(1, others), mean], dim=1))


@hookimpl
def segkit_saliency() -> Sequence[type[Saliency]]:
    """What this module adds to segkit."""
    return [DinoAttention]
