"""Objectness: where the thing lies that the picture is about, whatever it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr

from segkit import Heatmap, Image, Saliency, Weights, hookimpl

PREFIX = "image_encoder."
"""What the encoder's tensors are called in a file of `nano`."""


class Objectness(Saliency):
    """How likely each place shows the thing that the picture is about; no class is asked for.

    A layer on the image encoder of `nano`, the bundled SAM, trained on objects of any class: those
    of at least a quarter of the largest one's area. The image's longer side is resized to 320
    pixels; the probabilities, a map at stride 8, are resized bilinearly to the image's size. They
    are not stretched: where nothing stands out the map stays dark. One heatmap without a class,
    whose score is the greatest probability.
    """

    name = "objectness"

    checkpoint: Path | None = None
    """Weights of `nano` of your own (.safetensors or .pth); left out: those that ship."""

    _encoder: Any = PrivateAttr(None)
    _device: str = PrivateAttr("cpu")

    def open(self, device: str) -> None:
        """Load the encoder. Raises `UsageError` for a file that is missing or of another model."""
        from segkit_plugins.shared.nano_encoder import build_encoder
        from segkit_plugins.shared.weights import fill, load_torch

        path = self._path()
        tensors = load_torch(path)
        own = {k.removeprefix(PREFIX): v for k, v in tensors.items() if k.startswith(PREFIX)}
        encoder = build_encoder()
        fill(encoder, own, path, "nano's image encoder")
        self._encoder = encoder.to(device).eval().requires_grad_(False)
        self._device = device

    def close(self) -> None:
        """Drop the encoder."""
        self._encoder = None

    def weight_files(self) -> Mapping[str, Path]:
        """The file of `nano`."""
        return {"nano": self._path()}

    @classmethod
    def known_weights(cls) -> tuple[Weights, ...]:
        """`nano`, which ships with segkit."""
        from segkit_plugins.shared.weights import shipped

        return (shipped("nano", "The bundled SAM, whose image encoder this is; see its card"),)

    def __call__(self, image: Image) -> Heatmap:
        """Probabilities (H, W)."""
        import torch
        import torch.nn.functional as F

        from segkit_plugins.shared.nano_encoder import fitted

        pixels, (rows, columns) = fitted(image.pixels, self._encoder.img_size, self._device)
        with torch.inference_mode():
            logits = self._encoder.objectness(self._encoder(pixels))[None]
            side = self._encoder.img_size
            whole = F.interpolate(logits, (side, side), mode="bilinear", align_corners=False)
            seen = whole[..., :rows, :columns].sigmoid()
            seen = F.interpolate(seen, image.size, mode="bilinear", align_corners=False)[0, 0]
        return Heatmap(seen.clamp(0, 1).cpu().numpy(), score=float(seen.max()))

    def _path(self) -> Path:
        from segkit_plugins.shared.weights import bundled

        return self.checkpoint or bundled("nano")


@hookimpl
def segkit_saliency() -> Sequence[type[Saliency]]:
    """Register `objectness`."""
    return [Objectness]
