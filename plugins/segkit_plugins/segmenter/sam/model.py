"""What the steps on a SAM have in common: its weights, its precision and the image's embedding."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import PrivateAttr

from segkit import Image, Segmenter, UsageError, Weights
from segkit_plugins.segmenter._prompted import Frame

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

TOGETHER = 8
"""Images that a GPU encodes in a pass; more make a large encoder no faster."""


@dataclass(frozen=True)
class Encoding:
    """What is known of one image before any prompt."""

    embedding: Any
    """Tensor (1, C, h, w) on the step's device."""
    input_size: tuple[int, int]
    """(H, W) of the image after its longer side was resized to the model's."""


class Shared:
    """What all prompts on an encoding share, as long as the encoding is there."""

    def __init__(self) -> None:
        self._of: dict[int, tuple[weakref.ref[Encoding], Any]] = {}

    def of(self, encoding: Encoding, see: Callable[[Any], Any]) -> Any:
        """What `see` makes of the encoding's embedding, once."""
        key, of = id(encoding), self._of
        if key not in of:
            gone = weakref.ref(encoding, lambda _: of.pop(key, None))
            of[key] = gone, see(encoding.embedding)
        return of[key][1]

    def __len__(self) -> int:
        return len(self._of)

    def __reduce__(self) -> tuple[type[Shared], tuple[()]]:
        return Shared, ()  # another process has encodings of its own


class SamStep(Segmenter):
    """A segmenter on one of Segment Anything's models, or on the bundled `nano`."""

    model: Literal["nano", "nano-2", "vit_b", "vit_l", "vit_h"] = "nano"
    """nano ships with segkit, and so does nano-2, the nano before; the others need their
    checkpoint (segkit weights fetch vit_b)."""
    checkpoint: Path | None = None
    """The model's weight file (.pth or .safetensors); left out: the bundled one, or the official
    file in the cache folder."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """bfloat16 rounds, and is some three times as fast where the processor has it; auto takes it
    there for the large models (on a GPU without it, float16), and float32 for those that ship with
    segkit: nano's masks at float32 and at bfloat16 have a mean IoU of 0.96, at float16 of 0.998."""

    _sam: Any = PrivateAttr(None)
    _decoder: Any = PrivateAttr(None)
    _device: str = PrivateAttr("cpu")
    _dtype: Any = PrivateAttr(None)
    _shared: Any = PrivateAttr(None)
    _together: bool = PrivateAttr(False)
    """Whether images are encoded, and prompts of several decoded, in one pass."""

    def open(self, device: str) -> None:
        """Load the weights."""
        import torch

        from segkit_plugins.segmenter.sam.decoding import decoder_of
        from segkit_plugins.segmenter.sam.encoding import quicken
        from segkit_plugins.segmenter.sam.loading import load
        from segkit_plugins.shared.devices import dtype_of, works_together

        sam = load(self.name, self.model, self._path()).to(device).eval().requires_grad_(False)
        self._sam, self._device = sam, device
        own = self.precision == "auto" and self.model in BUNDLED
        self._dtype = torch.float32 if own else dtype_of(self.precision, device)
        self._together = works_together(device)
        quicken(sam.image_encoder, self._dtype, fused=self._together)
        self._decoder = decoder_of(sam, self._dtype)
        self._shared = Shared()

    def close(self) -> None:
        """Drop the weights."""
        self._sam = self._decoder = self._dtype = self._shared = None

    def weight_files(self) -> Mapping[str, Path]:
        """The checkpoint, and for `nano-2` its backbone's too."""
        files: dict[str, Path] = {self.model: self._path()}
        if self.model == "nano-2":
            from segkit_plugins.shared.lite0 import weight_file

            files["efficientnet-lite0"] = weight_file()
        return files

    def encode(self, image: Image) -> Encoding:
        """The image's embedding: the costly part, the same for all prompts."""
        return self._encoded([image])[0]

    def encode_batch(self, inputs: Sequence[Mapping[str, Any]]) -> list[Any]:
        """The embeddings of several images; on a GPU eight in a pass."""
        return self._encoded([values["image"] for values in inputs])

    def _encoded(self, images: Sequence[Image]) -> list[Encoding]:
        """The embedding of each image."""
        import torch

        together = TOGETHER if self._together else 1
        encodings: list[Encoding] = []
        for start in range(0, len(images), together):
            some = images[start : start + together]
            if self.model == "nano" and self._dtype == torch.float32:
                from segkit_plugins.shared.nano_encoder import embeddings_of

                known = embeddings_of(self._sam.image_encoder, some, self._path(), self._device)
                encodings += [Encoding(*each) for each in known]
            else:
                encodings += self._in_one_pass(some)
        return encodings

    def _in_one_pass(self, images: Sequence[Image]) -> list[Encoding]:
        """The embedding of each image, worked out together."""
        import torch
        from segment_anything.utils.transforms import ResizeLongestSide
        from torchvision.transforms.functional import pil_to_tensor, resize, to_pil_image

        from segkit_plugins.shared.devices import rounding, to_device

        sam, inputs, sizes = self._sam, [], []
        for image in images:
            fitted = ResizeLongestSide.get_preprocess_shape(*image.size, sam.image_encoder.img_size)
            # At least one pixel: the shorter side of a very long image would vanish.
            sizes.append((max(1, fitted[0]), max(1, fitted[1])))
            resized = pil_to_tensor(resize(to_pil_image(image.pixels), list(sizes[-1])))
            inputs.append(sam.preprocess(to_device(resized, self._device)[None]))
        with torch.inference_mode(), rounding(self._dtype, self._device):
            embeddings = sam.image_encoder(torch.cat(inputs)).float().split(1)
        return [Encoding(*each) for each in zip(embeddings, sizes, strict=True)]

    def _frame(self, encoding: Encoding, size: tuple[int, int]) -> Frame:
        """How an image of (H, W) lies in the model."""
        sam = self._sam
        low = sam.prompt_encoder.mask_input_size
        return Frame(sam.image_encoder.img_size, tuple(low), encoding.input_size, size)

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
