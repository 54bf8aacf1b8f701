"""TokenCut: the part of a picture whose patches are cut off most easily from all others."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, PositiveFloat
from segkit import Saliency, hookimpl
from segkit_plugins.saliency import Attended, AttentionMap


class TokenCut(AttentionMap):
    """TokenCut (Wang et al. 2022, section 3) on a vision transformer's features.

    Patches are the nodes of a graph; two whose last keys have a cosine above `similarity` are tied
    with weight 1, others with `weak`. The normalised cut (Shi & Malik 2000) is relaxed: of
    (D − E) y = λ D y, E being the weights and D their sums, y is the eigenvector of the second
    smallest eigenvalue. It is cut at its mean; the side with the patch whose |y| is greatest is the
    object, and of that the connected part with this patch. Heat is y's distance from its mean
    there, and 0 elsewhere. Patches that are all tied to each other have no cut, and no heat. It
    knows no class.

    Any transformer of timm or torchvision whose blocks attend to the whole picture;
    self-supervised weights such as timm:vit_small_patch16_224.dino are what it is meant for.
    """

    name = "tokencut"

    similarity: Annotated[float, Field(ge=-1, lt=1)] = 0.2
    """The cosine above which two patches belong together."""
    weak: Annotated[PositiveFloat, Field(lt=1)] = 1e-5
    """The weight of a tie between patches that do not belong together."""
    connected: bool = True
    """Keep the part about the strongest patch alone; else all of its side of the cut."""

    def relevance(self, attended: Attended) -> Any:
        """The map (1, h, w) of one picture."""
        keys = attended.keys[-1]  # (1, heads, n, d)
        features = keys.transpose(1, 2).flatten(2)[0, attended.others :].double()
        cut = self._cut(features)
        heat = attended.as_map(_after(cut, attended.others))
        return self._part(heat) if self.connected else heat

    def _cut(self, features: Any) -> Any:
        """Each patch's distance from the cut on the object's side, else 0: (patches,)."""
        import torch

        features = torch.nn.functional.normalize(features, dim=1)
        tied = features @ features.T > self.similarity
        if bool(tied.all()):
            return features.new_zeros(len(features))
        weights = torch.where(tied, 1.0, self.weak).double()
        # With y = D^-½ z the problem is symmetric: D^-½ (D − E) D^-½ z = λ z.
        scale = weights.sum(dim=1).rsqrt()
        laplacian = torch.eye(len(weights), dtype=weights.dtype, device=weights.device)
        laplacian = laplacian - scale[:, None] * weights * scale
        second = scale * torch.linalg.eigh(laplacian).eigenvectors[:, 1]
        if second[second.abs().argmax()] < second.mean():
            second = -second
        return (second - second.mean()).relu()

    def _part(self, heat: Any) -> Any:
        """The connected part of a map (1, h, w) that has its greatest |y|."""
        import torch
        from scipy.ndimage import label

        values = heat[0].cpu().numpy()
        parts, _ = label(values > 0)
        hottest = parts.ravel()[values.argmax()]
        return heat * torch.from_numpy(parts == hottest).to(heat.device)


def _after(values: Any, others: int) -> Any:
    """Values of patches (n,) as those of all tokens, (1, others + n)."""
    import torch

    return torch.cat([values.new_zeros(others), values])[None]


@hookimpl
def segkit_saliency() -> Sequence[type[Saliency]]:
    """What this module adds to segkit."""
    return [TokenCut]
