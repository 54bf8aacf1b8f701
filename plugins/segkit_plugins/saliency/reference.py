"""Where a picture looks like the objects of reference images: DINO's patches."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, PrivateAttr

from segkit import (
    Heatmap,
    Image,
    MissingExtraError,
    Saliency,
    SegkitWarning,
    UsageError,
    hookimpl,
)
from segkit_plugins.saliency._examples import Example, examples_by_class, examples_of
from segkit_plugins.saliency._maps import as_heat
from segkit_plugins.shared.hub import model_folder
from segkit_plugins.shared.hub_models import load_network, model_type, weight_files
from segkit_plugins.shared.name_tables import folded

KINDS = ("dinov2", "dinov2_with_registers", "dinov3_vit")
"""The types of model in transformers whose patches are compared."""

LONGEST = 1536
"""The longer side of what the network sees, at most, in pixels."""

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""ImageNet's mean and deviation, which DINO's pictures are normalised with, pixels in [0, 1]."""


class Reference(Saliency):
    """A heatmap for each class that reference images show, by DINOv2's or DINOv3's patches.

    `examples` is a folder with a sub-folder for each class, in it photos and their masks:
    zebra/1.jpg and zebra/1.mask.png, 0 where the object is not. The feature of a class is the mean
    of the patches, each of length 1, that lie under its masks, of all its references: half of a
    patch or more has to, or else the patch of which most does. A patch of the picture is as hot as
    the cosine of its feature with the class's. With `negatives`, a folder of such photos and masks
    of what is not meant, the greatest cosine with one of theirs is taken off.

    What is below zero is cold. The map is stretched to [0, 1], resized bilinearly to the image's
    size, and stretched again, as `gradcam` does it; the score is the greatest value before. Classes
    come in the order of their scores. Features of DINO (Oquab et al. 2024; Siméoni et al. 2025)
    match parts of objects across pictures; to ask for objects by a mask of one is PerSAM's way
    (Zhang et al. 2024).
    """

    name = "reference"

    examples: Path
    """The folder of references, a sub-folder for each class."""
    negatives: Path | None = None
    """A folder of photos and masks of what looks alike and is not meant."""
    model: str = "facebook/dinov2-small"
    """A folder as save_pretrained writes it, or a name of the Hugging Face hub that has been
    fetched (segkit weights fetch hf:OWNER/NAME)."""
    side: PositiveInt = 448
    """The shorter side of what the network sees, in pixels."""
    least: float = Field(0.0, ge=0, le=1)
    """Classes of a lower score are not in the image; if none is, there is one heatmap of zeros."""

    _model: Any = PrivateAttr(None)
    _features: dict[str, Any] = PrivateAttr(default_factory=dict)
    _against: Any = PrivateAttr(None)

    def check_early(self, classes: Mapping[int, str] | None) -> None:
        """Look at the references. Raises `UsageError` as `examples_by_class` does."""
        self._examples()

    def open(self, device: str) -> None:
        """Load the model, read the references and their features.

        Raises `UsageError` for a model that is not there, is no DINO, or has no, damaged or foreign
        weights, and as `examples_by_class` does; `MissingExtraError` without transformers.
        """
        try:
            from transformers import AutoModel
        except ModuleNotFoundError:
            raise MissingExtraError("--saliency reference", "transformers", "hf") from None
        import torch

        own, against = self._examples()
        asked = f"--reference.model {self.model}"
        folder = model_folder("--reference.model", self.model)
        _check_kind(asked, folder)
        network = load_network(AutoModel, folder, asked, "DINO")
        self._model = network.to(device).eval().requires_grad_(False)
        self._features = {name: self._mean(examples) for name, examples in own.items()}
        each = [self._mean((example,)) for example in against]
        self._against = torch.stack(each) if each else None

    def restrict(self, names: Sequence[str]) -> None:
        """Look for these classes alone, in the spelling asked for.

        Warns of those without references; raises `UsageError` where there are references of none.
        """
        own = {folded(name): feature for name, feature in self._features.items()}
        kept = {name: own[folded(name)] for name in names if folded(name) in own}
        listed = ", ".join(name for name in names if name not in kept)
        if not kept:
            raise UsageError(
                f"--classes {listed}: --reference.examples {self.examples} has examples of none of "
                f"them; it has {', '.join([*self._features][:5])}"
            )
        if listed:
            warnings.warn(f"reference has no examples of {listed}", SegkitWarning, stacklevel=2)
        self._features = kept

    @property
    def vocabulary(self) -> Sequence[str]:
        """The classes that there are references of."""
        return tuple(self._features)

    def close(self) -> None:
        """Drop model and features."""
        self._model = self._against = None
        self._features = {}

    def weight_files(self) -> Mapping[str, Path]:
        """The files of the model's weights, by their names."""
        folder = model_folder("--reference.model", self.model)
        return {path.name: path for path in weight_files(f"--reference.model {self.model}", folder)}

    def __call__(self, image: Image) -> tuple[Heatmap, ...]:
        """Heatmaps (H, W) of the classes, the likeliest first; one of zeros of none."""
        import torch

        with torch.inference_mode():
            heatmaps = []
            for name, hot in self._likeness(image).items():
                score = min(float(hot.max()), 1.0)
                if score >= self.least:
                    heatmaps.append(Heatmap(as_heat(hot, image.size), name, score))
        heatmaps.sort(key=lambda heatmap: -heatmap.score)
        none = Heatmap(np.zeros(image.size, np.float32), None, 0.0)
        return tuple(heatmaps) or (none,)

    def part(self, image: Image, heatmaps: tuple[Heatmap, ...]) -> tuple[NDArray[np.float32], ...]:
        """The likeness of a tile's patches to the classes of the whole image, not stretched."""
        import torch

        with torch.inference_mode():
            likeness = self._likeness(image)
            nothing = np.zeros((1, 1), np.float32)
            return tuple(
                likeness[h.name].float().cpu().numpy() if h.name in likeness else nothing
                for h in heatmaps
            )

    def _likeness(self, image: Image) -> dict[str, Any]:
        """Class to a map (rows, columns): how much like it each patch is, from 0."""
        patches = self._patches(image.pixels)
        taken = 0 if self._against is None else (patches @ self._against.T).amax(dim=-1)
        own = self._features.items()
        return {name: (patches @ feature - taken).clamp(min=0) for name, feature in own}

    def _examples(self) -> tuple[Mapping[str, tuple[Example, ...]], tuple[Example, ...]]:
        """The references of each class, and the negative ones."""
        own = examples_by_class("--reference.examples", self.examples)
        if self.negatives is None:
            return own, ()
        return own, examples_of("--reference.negatives", self.negatives)

    def _mean(self, examples: Sequence[Example]) -> Any:
        """(D,) of length 1: the mean feature of the patches under the masks."""
        import torch
        import torch.nn.functional as F

        rows = []
        with torch.inference_mode():
            for pixels, inside in examples:
                patches = self._patches(pixels)
                covered = torch.from_numpy(inside.astype(np.float32))[None, None]
                share = F.interpolate(covered, patches.shape[:2], mode="area")[0, 0]
                rows.append(patches[share.to(patches.device) >= min(0.5, float(share.max()))])
            return F.normalize(torch.cat(rows).mean(dim=0), dim=0)

    def _patches(self, pixels: NDArray[np.uint8]) -> Any:
        """The features of a picture's patches (rows, columns, D), each of length 1."""
        import torch
        import torch.nn.functional as F

        config, device = self._model.config, self._model.device
        patch = int(config.patch_size)
        scale = min(self.side / min(pixels.shape[:2]), LONGEST / max(pixels.shape[:2]))
        rows, columns = (max(1, round(n * scale / patch)) for n in pixels.shape[:2])
        picture = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
        size = (rows * patch, columns * patch)
        picture = F.interpolate(picture, size, mode="bilinear", antialias=True)
        mean, std = (torch.tensor(v, device=device)[:, None, None] for v in (MEAN, STD))
        seen = self._model(pixel_values=(picture.to(device).float() / 255 - mean) / std)
        tokens = seen.last_hidden_state[0, -rows * columns :]  # class token and registers go first
        return F.normalize(tokens, dim=-1).reshape(rows, columns, -1)


def _check_kind(asked: str, folder: Path) -> None:
    """Refuse a folder that holds no DINO."""
    kind = model_type(folder, asked)
    if kind not in KINDS:
        raise UsageError(
            f"{asked} is of type {kind}, and one of {', '.join(KINDS)} is wanted; choose another "
            "model, such as facebook/dinov2-small"
        )


@hookimpl
def segkit_saliency() -> Sequence[type[Saliency]]:
    """Register `reference`."""
    return [Reference]
