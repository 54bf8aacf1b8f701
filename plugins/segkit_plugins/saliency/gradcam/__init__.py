"""Grad-CAM: where a classifier sees a class, from the gradient of its score at one layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import PositiveInt, PrivateAttr

from segkit import (
    VOID,
    BadValueError,
    Heatmap,
    Image,
    Saliency,
    Truth,
    UsageError,
    hookimpl,
)


class GradCAM(Saliency):
    """Grad-CAM (Selvaraju et al. 2017, equations 1 and 2) of an image classifier.

    The gradient of a class score before softmax, averaged over each channel of one layer, weights
    that channel; the weighted sum through ReLU is the map. It is stretched to [0, 1], resized
    bilinearly to the image's size, and stretched again. The whole image is resized to the
    network's square input, without cropping, so the heatmap covers all of it. Where the classifier
    sees nothing of the class the heatmap is all zero. A heatmap carries its class and the class's
    softmax probability.
    """

    name = "gradcam"

    model: str = "efficientnet-lite0"
    """The classifier: efficientnet-lite0 (ImageNet; ships with segkit), shapes (the five generated
    shapes; ships too), torchvision:NAME or timm:NAME with a checkpoint, or a TorchScript file."""
    checkpoint: Path | None = None
    """Weights of a torchvision or timm model: a state_dict in .pth or .safetensors."""
    class_names: tuple[str, ...] = ()
    """The model's classes in the order of its outputs, or one file with a name a line; left out:
    ImageNet's where there are 1000 outputs, else class-0, class-1 …"""
    mean: tuple[float, ...] = ()
    """Three means that RGB in [0, 1] is normalised by; left out: the model's, else ImageNet's."""
    std: tuple[float, ...] = ()
    """Three deviations, likewise."""
    layer: str = ""
    """The layer to look at, by its dotted name; left out: the last block of feature maps; list
    prints the candidates."""
    target: str = "predicted"
    """Which classes: predicted, a class name, a class number, top:N for the N likeliest, or truth
    for those of the data set's truth that the model knows."""
    size: PositiveInt | None = None
    """Side of the network's input, in pixels; left out: the model's own."""

    _classifier: Any = PrivateAttr(None)

    def open(self, device: str) -> None:
        """Load the classifier, frozen."""
        from segkit_plugins.saliency.gradcam.classifiers import load

        self._classifier = load(self).to(device)
        self._classifier.check(self)

    def close(self) -> None:
        """Drop the classifier."""
        self._classifier = None

    def weight_files(self) -> Mapping[str, Path]:
        """The classifier's weights."""
        from segkit_plugins.saliency.gradcam.classifiers import files

        return files(self)

    def __call__(self, image: Image, truth: Truth | None = None) -> tuple[Heatmap, ...]:
        """One heatmap for each target class, (H, W) of the image."""
        given = {"image": image} if truth is None else {"image": image, "truth": truth}
        made: tuple[Heatmap, ...] = self.batch([given])[0]
        return made

    def batch(self, inputs: Sequence[Mapping[str, Any]]) -> list[tuple[Heatmap, ...]]:
        """The heatmaps of several images, from one forward pass."""
        import torch
        import torch.nn.functional as F

        from segkit_plugins.shared.cam import class_maps, scores_at

        classifier = self._classifier
        pixels = torch.stack([classifier.prepared(i["image"].pixels) for i in inputs])
        scores, activations = scores_at(classifier.network, classifier.layer, pixels)
        chances = scores.detach().softmax(1)
        targets = [
            self._targets(row.cpu().numpy(), one.get("truth"))
            for row, one in zip(scores.detach(), inputs, strict=True)
        ]
        maps = class_maps(scores, activations, targets, gradcam)
        made = []
        for i, one in enumerate(inputs):
            heatmaps = []
            for target, found in zip(targets[i], maps[i], strict=True):
                values = stretched(found.float())
                values = F.interpolate(values[None, None], one["image"].size, mode="bilinear")
                heatmaps.append(
                    Heatmap(
                        stretched(values[0, 0]).clamp(0, 1).cpu().numpy(),
                        classifier.names[target],
                        float(chances[i, target]),
                    )
                )
            made.append(tuple(heatmaps))
        return made

    def _targets(self, scores: np.ndarray[Any, Any], truth: Truth | None) -> list[int]:
        """The output numbers to explain."""
        names = self._classifier.names
        if self.target == "predicted":
            return [int(scores.argmax())]
        if self.target.startswith("top:"):
            count = int(self.target.removeprefix("top:"))
            return [int(i) for i in np.argsort(-scores, kind="stable")[:count]]
        if self.target == "truth":
            if truth is None:
                raise BadValueError(
                    "--gradcam.target truth needs the image's truth, and it has none; choose a "
                    "data set with truth or another target"
                )
            ids = [int(i) for i in np.unique(truth.labels.ids) if i not in (0, VOID)]
            wanted = [truth.labels.classes.get(i, f"class {i}") for i in ids]
            known = [names.index(n) for n in wanted if n in names]
            if not known:
                raise BadValueError(
                    f"--gradcam.target truth: the model knows none of the image's classes "
                    f"({', '.join(wanted) or 'it has none'}); choose predicted or another model"
                )
            return known
        return [self._number(self.target)]

    def _number(self, target: str) -> int:
        """The output of a class name or number. Raises `UsageError` if the model lacks it."""
        names = self._classifier.names
        if target in names:
            return int(names.index(target))
        if target.isdigit() and int(target) < len(names):
            return int(target)
        lower = [n.lower() for n in names]
        if target.lower() in lower:
            return lower.index(target.lower())
        near = get_close_matches(target.lower(), lower, n=3, cutoff=0.5)
        near = near or [n for n in lower if target.lower() in n][:3]
        known = [names[lower.index(n)] for n in near] or list(names[:5])
        raise UsageError(
            f"--gradcam.target {target}: the model has {len(names)} classes and none of that "
            f"name; did you mean {' or '.join(repr(n) for n in known)}?"
        )

    def check_target(self) -> None:
        """Refuse a target that the model cannot have, before any image is read."""
        target = self.target
        if target.startswith("top:"):
            count = target.removeprefix("top:")
            if not count.isdigit() or int(count) < 1:
                raise UsageError(
                    f"--gradcam.target {target}: after top: comes how many classes, such as top:3"
                )
        elif target not in ("predicted", "truth"):
            self._number(target)


def gradcam(activations: Any, gradients: Any) -> Any:
    """Equations 1 and 2: ReLU of the channels' sum, weighted by their mean gradient."""
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    return (weights * activations).sum(dim=1).relu()


def stretched(values: Any) -> Any:
    """Minimum to 0 and maximum to 1; a map that is zero everywhere stays so."""
    if not bool(values.any()):
        return values
    lowest = values.min()
    reach = values.max() - lowest
    # The same everywhere, but not zero: seen everywhere alike.
    return (values - lowest) / reach if float(reach) > 0 else values / values.max()


@hookimpl
def segkit_saliency() -> list[type[Saliency]]:
    """Register it."""
    return [GradCAM]
