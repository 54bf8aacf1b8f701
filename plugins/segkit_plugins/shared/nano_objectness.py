"""What the layers on `nano`'s image encoder say of each place: a thing, or a person, lies there."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from segkit import Image
from segkit_plugins.shared.nano_encoder import DIM, bare_encoder, embedding_of
from segkit_plugins.shared.weights import bundled, fill, load_torch

PREFIX = "image_encoder."
"""What the encoder's tensors are called in a file of `nano`."""

Target = Literal["any", "person"]
"""The thing that the picture is about, or people."""


class DenseLayers:
    """The encoder of a file of `nano`, or of the one that ships, with its two layers."""

    def __init__(self, checkpoint: Path | None, device: str) -> None:
        """Load it. Raises `UsageError` for a file that is missing or of another model."""
        self.path, self.device = checkpoint or bundled("nano"), device
        tensors = load_torch(self.path)
        own = {k.removeprefix(PREFIX): v for k, v in tensors.items() if k.startswith(PREFIX)}
        encoder = bare_encoder()
        fill(encoder, own, self.path, "nano's image encoder")
        self.encoder = encoder.to(device).eval().requires_grad_(False)

    def embedding(self, image: Image) -> NDArray[np.float32]:
        """(r, c, 64) of the places that the image covers, eight pixels of the input each."""
        embedding, covered = embedding_of(self.encoder, image, self.path, self.device)
        side = self.encoder.img_size // embedding.shape[-1]
        rows, columns = (-(-n // side) for n in covered)
        places = embedding[0, :DIM, :rows, :columns].permute(1, 2, 0)
        own: NDArray[np.float32] = places.cpu().numpy()
        return own

    def probabilities(
        self, image: Image, target: Target, size: tuple[int, int] | None = None
    ) -> NDArray[np.float32]:
        """(h, w) in [0, 1]: of each place, whether what is asked for lies there.

        `size`: (h, w) of the answer, spread over the whole image; left out, the image's own.
        """
        embedding, (rows, columns) = embedding_of(self.encoder, image, self.path, self.device)
        layer = self.encoder.people if target == "person" else self.encoder.objectness
        side = self.encoder.img_size
        with torch.inference_mode():
            logits = layer(embedding)[None]
            whole = F.interpolate(logits, (side, side), mode="bilinear", align_corners=False)
            seen = whole[..., :rows, :columns].sigmoid()
            seen = F.interpolate(seen, size or image.size, mode="bilinear", align_corners=False)[
                0, 0
            ]
        likely: NDArray[np.float32] = seen.clamp(0, 1).cpu().numpy()
        return likely
