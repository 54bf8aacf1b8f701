"""What the steps on a SAM have in common: its weights, its precision and the image's embedding."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import PrivateAttr

from segkit import Image, Segmenter, UsageError, Weights
from segkit_plugins.segmenter._prompted import Frame, quick_bfloat16

CHECKPOINTS = {
    "vit_b": "sam_vit_b_01ec64.pth",
    "vit_l": "sam_vit_l_0b3195.pth",
    "vit_h": "sam_vit_h_4b8939.pth",
}
"""Model to the file name of its official checkpoint."""

SOURCE = "https://dl.fbaipublicfiles.com/segment_anything/"
"""Where Segment Anything's authors keep them."""

OFFICIAL = {
    "vit_b": ("ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912", 375_042_383),
    "vit_l": ("3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622", 1_249_524_607),
    "vit_h": ("a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e", 2_564_550_879),
}
"""Their SHA-256 and size in bytes."""


BUNDLED = ("nano", "nano-2")
"""The models that ship with segkit."""


@dataclass(frozen=True)
class Encoding:
    """What is known of one image before any prompt."""

    embedding: Any
    """Tensor (1, C, h, w) on the step's device."""
    input_size: tuple[int, int]
    """(H, W) of the image after its longer side was resized to the model's."""


class SamStep(Segmenter):
    """A segmenter on one of Segment Anything's models, or on the bundled `nano`."""

    model: Literal["nano", "nano-2", "vit_b", "vit_l", "vit_h"] = "nano"
    """nano ships with segkit, and so does nano-2, the nano before; the others need their
    checkpoint (segkit weights fetch vit_b)."""
    checkpoint: Path | None = None
    """The model's weight file (.pth or .safetensors); left out: the bundled one, or the official
    file in the cache folder."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """bfloat16 rounds, and is some three times as fast where the processor has it; auto takes it
    there for the large models, and float32 for those that ship with segkit."""

    _sam: Any = PrivateAttr(None)
    _decoder: Any = PrivateAttr(None)
    _device: str = PrivateAttr("cpu")

    def open(self, device: str) -> None:
        """Load the weights."""
        import torch

        from segkit_plugins.segmenter.sam.decoding import decoder_of
        from segkit_plugins.segmenter.sam.encoding import quicken
        from segkit_plugins.segmenter.sam.loading import load

        sam = load(self.name, self.model, self._path()).to(device).eval().requires_grad_(False)
        self._sam, self._device = sam, device
        dtype = torch.bfloat16 if self._reduced() else torch.float32
        quicken(sam.image_encoder, dtype)
        self._decoder = decoder_of(sam, dtype)

    def close(self) -> None:
        """Drop the weights."""
        self._sam = self._decoder = None

    def weight_files(self) -> Mapping[str, Path]:
        """The checkpoint, and for `nano-2` its backbone's too."""
        files: dict[str, Path] = {self.model: self._path()}
        if self.model == "nano-2":
            from segkit_plugins.shared.lite0 import weight_file

            files["efficientnet-lite0"] = weight_file()
        return files

    def encode(self, image: Image) -> Encoding:
        """The image's embedding: the costly part, the same for all prompts."""
        if self.model == "nano" and not self._reduced():
            from segkit_plugins.shared.nano_encoder import embedding_of

            return Encoding(
                *embedding_of(self._sam.image_encoder, image, self._path(), self._device)
            )

        import torch
        from segment_anything.utils.transforms import ResizeLongestSide
        from torchvision.transforms.functional import pil_to_tensor, resize, to_pil_image

        sam = self._sam
        fitted = ResizeLongestSide.get_preprocess_shape(*image.size, sam.image_encoder.img_size)
        # At least one pixel: the shorter side of a very long image would vanish.
        size = (max(1, fitted[0]), max(1, fitted[1]))
        resized = pil_to_tensor(resize(to_pil_image(image.pixels), list(size)))
        pixels = resized.to(self._device)[None]
        with torch.inference_mode(), self._autocast():
            embedding = sam.image_encoder(sam.preprocess(pixels))
        return Encoding(embedding.float(), size)

    def _frame(self, encoding: Encoding, size: tuple[int, int]) -> Frame:
        """How an image of (H, W) lies in the model."""
        sam = self._sam
        low = sam.prompt_encoder.mask_input_size
        return Frame(sam.image_encoder.img_size, tuple(low), encoding.input_size, size)

    def _reduced(self) -> bool:
        """Whether to work in bfloat16."""
        if self.precision == "auto" and self.model not in BUNDLED:
            return quick_bfloat16(self._device.partition(":")[0])
        return self.precision == "bfloat16"

    def _autocast(self) -> AbstractContextManager[Any]:
        import torch

        kind = self._device.partition(":")[0]
        return torch.autocast(kind, torch.bfloat16) if self._reduced() else nullcontext()

    def _path(self) -> Path:
        """The weight file to load. Raises `UsageError` if there is none."""
        from segkit_plugins.shared.weights import bundled

        if self.checkpoint is not None:
            return self.checkpoint
        if self.model in BUNDLED:
            return bundled(self.model)
        path = next(w.path for w in official() if w.name == self.model)
        if not path.is_file():
            raise UsageError(
                f"--{self.name}.model {self.model} needs its checkpoint, and there is none at "
                f"{path}; run segkit weights fetch {self.model}, or give "
                f"--{self.name}.checkpoint FILE"
            )
        return path


def official() -> tuple[Weights, ...]:
    """Segment Anything's official checkpoints."""
    what = "Segment Anything's official checkpoint with the image encoder"
    return tuple(
        Weights(
            name,
            f"{what} {name.replace('vit_', 'ViT-').upper().replace('VIT', 'ViT')}",
            "Apache-2.0",
            CHECKPOINTS[name],
            digest,
            size,
            SOURCE + CHECKPOINTS[name],
        )
        for name, (digest, size) in OFFICIAL.items()
    )
