"""Weigh a class's heatmap by where the thing lies that the picture is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PrivateAttr

from segkit import Heatmap, Image, Transform, hookimpl


class ObjectnessPrior(Transform):
    """The heatmap times how likely each place shows the thing that the picture is about.

    A classifier knows what is there but lights up its most telling part, a head or a wheel;
    `--saliency objectness` sees the whole thing but has no name for it. This is their weighted
    geometric mean, heat^(1 − weight) · objectness^weight, divided by its maximum; it keeps the
    heatmap's class and score. A heatmap without heat stays all zero. `sam` with the bundled `nano`
    uses the same embedding, so that it costs little.
    """

    name = "objectness-prior"
    concurrent = True

    weight: Annotated[float, Field(ge=0, le=1)] = 0.75
    """Weight of objectness; at 0 the heatmap stays, at 1 only its class does."""

    _layers: Any = PrivateAttr(None)

    def open(self, device: str) -> None:
        """Load the encoder."""
        from segkit_plugins.shared.nano_objectness import DenseLayers

        self._layers = DenseLayers(None, device)

    def close(self) -> None:
        """Drop the encoder."""
        self._layers = None

    def weight_files(self) -> Mapping[str, Path]:
        """The file of `nano`."""
        from segkit_plugins.shared.weights import bundled

        return {"nano": bundled("nano")}

    def __call__(self, heatmap: Heatmap, image: Image) -> Heatmap:
        """The weighed heatmap, of the same shape, name and score."""
        if not heatmap.values.any():
            return heatmap
        things = self._layers.probabilities(image, "any")
        weighed = heatmap.values ** (1 - self.weight)
        weighed *= things**self.weight  # in place: of a large photo each array is 50 MB
        top = weighed.max()
        if not top:
            return heatmap
        weighed /= top
        return Heatmap(weighed.clip(0, 1, out=weighed), heatmap.name, heatmap.score)


@hookimpl
def segkit_transforms() -> Sequence[type[Transform]]:
    """Register `objectness-prior`."""
    return [ObjectnessPrior]
