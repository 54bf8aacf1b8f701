"""Where the thing lies that the picture is about, whatever it is; or where people are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import PrivateAttr

from segkit import Heatmap, Image, Saliency, Weights, hookimpl


class Objectness(Saliency):
    """How likely each place shows the thing that the picture is about; no class is asked for.

    A layer on the image encoder of `nano`, the bundled SAM, trained on objects of any class: those
    of at least a quarter of the largest one's area. The image's longer side is resized to 320
    pixels; the probabilities, a map at stride 8, are resized bilinearly to the image's size. They
    are not stretched: where nothing stands out the map stays dark. One heatmap, without a class
    unless people were asked for, whose score is the greatest probability.
    """

    name = "objectness"
    concurrent = True
    stretches = False

    target: Literal["any", "person"] = "any"
    """'any': the thing that the picture is about, whatever it is; 'person': a second layer, which
    tells all people in the picture from the rest."""
    checkpoint: Path | None = None
    """Weights of `nano` of your own (.safetensors or .pth); left out: those that ship."""

    _layers: Any = PrivateAttr(None)

    def open(self, device: str) -> None:
        """Load the encoder. Raises `UsageError` for a file that is missing or of another model."""
        from segkit_plugins.shared.nano_objectness import DenseLayers

        self._layers = DenseLayers(self.checkpoint, device)

    def close(self) -> None:
        """Drop the encoder."""
        self._layers = None

    def weight_files(self) -> Mapping[str, Path]:
        """The file of `nano`."""
        from segkit_plugins.shared.weights import bundled

        return {"nano": self.checkpoint or bundled("nano")}

    @classmethod
    def known_weights(cls) -> tuple[Weights, ...]:
        """`nano`, which ships with segkit."""
        from segkit_plugins.shared.weights import shipped

        return (shipped("nano", "The bundled SAM, whose image encoder this is; see its card"),)

    def __call__(self, image: Image) -> Heatmap:
        """Probabilities (H, W)."""
        likely = self._layers.probabilities(image, self.target)
        name = "person" if self.target == "person" else None
        return Heatmap(likely, name, float(likely.max()))


@hookimpl
def segkit_saliency() -> Sequence[type[Saliency]]:
    """Register `objectness`."""
    return [Objectness]
