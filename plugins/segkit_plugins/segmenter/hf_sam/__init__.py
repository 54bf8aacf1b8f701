"""The Segment Anything family by transformers: SAM, SAM-HQ, SAM 2, SAM 3, EdgeTAM and kin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PrivateAttr

from segkit import Image, Masks, Prompt, Prompts, Segmenter, hookimpl
from segkit_plugins.segmenter._prompted import Frame, alike, ambiguous, gathered, quick_bfloat16
from segkit_plugins.shared.hub import model_folder
from segkit_plugins.shared.hub_models import weight_files

CHUNK = 16
"""Prompts decoded at a time; bounds memory."""


@dataclass(frozen=True)
class Encoding:
    """What is known of one image before any prompt."""

    features: Mapping[str, Any]
    """The model's own arguments: tensors, or lists of them, of one image on the step's device."""
    inside: tuple[int, int]
    """(h, w) that the resized image covers in the model's input; less than its side: padded."""


class HfSam(Segmenter):
    """Any model of the Segment Anything family that transformers has for masks of prompts.

    These are SAM (Kirillov et al. 2023), SAM-HQ (Ke et al. 2023), SAM 2 (Ravi et al. 2024), the
    tracker of SAM 3 (Carion et al. 2025), EdgeTAM (Zhou et al. 2025) and those that a newer
    transformers adds; of video models the part for one image. The folder's config.json tells which.

    Points, boxes and mask logits go in, in the image's pixels; out come candidate masks in the
    image's own size with the IoU that the model expects of each, and low-resolution logits that
    cover the whole image (without the padding of those models that pad). A prompt that asks
    nothing gets no mask. Masks equal those of the model's own processor.
    """

    name = "hf-sam"

    model: str
    """A model folder (config.json, and model.safetensors or pytorch_model.bin), or a name of the
    Hugging Face hub, OWNER/NAME, that was fetched before (segkit weights fetch hf:OWNER/NAME)."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the image encoder: bfloat16 rounds, and is some three times as fast where the processor
    has it; auto takes it there."""
    multimask: Literal["auto", "on", "off"] = "auto"
    """Three candidates per prompt, or one. auto: three for a single point, which may mean a part
    or the whole; one for a box or several points."""

    _network: Any = PrivateAttr(None)
    _processor: Any = PrivateAttr(None)
    _device: str = PrivateAttr("cpu")

    def open(self, device: str) -> None:
        """Load the weights.

        Raises `UsageError` where the folder or the cached model cannot be used,
        `MissingExtraError` without transformers (or timm, which EdgeTAM needs).
        """
        from segkit_plugins.segmenter.hf_sam.loading import load

        network, self._processor = load(self.model)
        self._network = network.to(device).eval().requires_grad_(False)
        self._device = device

    def close(self) -> None:
        """Drop the weights."""
        self._network = self._processor = None

    def weight_files(self) -> Mapping[str, Path]:
        """The files of the model's weights, by their names."""
        from segkit_plugins.segmenter.hf_sam.loading import OPTION

        folder = model_folder(OPTION, self.model)
        return {path.name: path for path in weight_files(f"{OPTION} {self.model}", folder)}

    def encode(self, image: Image) -> Encoding:
        """The image's embedding: the costly part, the same for all prompts."""
        import torch

        given = self._processor(
            images=_thick(image.pixels, self._side).copy(),  # torch wants to be able to write
            input_data_format="channels_last",  # else 3 rows would be taken for 3 channels
            return_tensors="pt",
        )
        pixels = given["pixel_values"].to(self._device)
        # Only models that pad say how much of their input is the image.
        rows, columns = given.get("reshaped_input_sizes", [pixels.shape[-2:]])[0]
        with torch.inference_mode(), self._autocast():
            found = self._network.get_image_embeddings(pixels)
        features = {"image_embeddings": found}
        if isinstance(found, tuple):  # SAM-HQ, whose decoder looks at the first of the others
            features = {"image_embeddings": found[0], "intermediate_embeddings": found[1][:1]}
        return Encoding(
            {k: _each(v, lambda t: t.float()) for k, v in features.items()},
            (int(rows), int(columns)),
        )

    def __call__(self, image: Image, prompts: Prompts, encoding: Encoding) -> Masks:
        """Candidates for each prompt, in the order of the prompts."""
        answers = (
            answer
            for places, several in alike(prompts, self._several, CHUNK)
            for answer in zip(places, *self._decode(several, encoding, image.size), strict=True)
        )
        return gathered(answers, prompts, image.size)

    def _several(self, prompt: Prompt) -> bool:
        """Whether this prompt gets several candidates."""
        return ambiguous(prompt) if self.multimask == "auto" else self.multimask == "on"

    def _decode(
        self, prompts: Sequence[Prompt], encoding: Encoding, size: tuple[int, int]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Masks (n, c, H, W), scores (n, c) and logits (n, c, h, w) of prompts that look alike."""
        import torch

        first, n, inside, side = prompts[0], len(prompts), encoding.inside, self._side
        # x and y of the image to x and y of the model's input.
        scale = np.array(inside[::-1]) / np.array(size[::-1])
        asked: dict[str, Any] = {}
        # The models take many prompts on one image; masks only one an image, so it is repeated.
        lead = (1, n) if first.mask is None else (n, 1)

        def tensor(values: Any, *shape: int) -> Any:
            array = np.stack(values).reshape(*lead, *shape)
            kind = torch.float32 if array.dtype.kind == "f" else torch.int64
            return torch.as_tensor(array, dtype=kind, device=self._device)

        if count := len(first.points):
            asked["input_points"] = tensor([p.points * scale for p in prompts], count, 2)
            asked["input_labels"] = tensor([p.signs for p in prompts], count)
        if first.box is not None:
            boxes = [p.box.reshape(2, 2) * scale for p in prompts if p.box is not None]
            asked["input_boxes"] = tensor(boxes, 4)
        features = encoding.features
        if first.mask is not None:
            # Every model of the family takes masks at four times its embedding's resolution.
            h, w = (4 * m for m in _last(features["image_embeddings"]).shape[-2:])
            given = Frame(side, (h, w), inside, size)
            low = [given.fitted(p.mask) for p in prompts if p.mask is not None]
            asked["input_masks"] = torch.stack(low).to(self._device)
            features = {
                k: _each(v, lambda t: t.expand(n, *t.shape[1:])) for k, v in features.items()
            }
        with torch.inference_mode():
            made = self._network(**features, **asked, multimask_output=self._several(first))
            logits = made.pred_masks.flatten(0, 1).float()
            # Models that do not pad enlarge in one step.
            frame = Frame(side, logits.shape[-2:], inside, size, by_input=inside != (side, side))
            masks = frame.masks(logits)
        rows, columns = frame.covered
        return (
            masks.cpu().numpy(),
            made.iou_scores.flatten(0, 1).float().cpu().numpy(),
            logits[..., :rows, :columns].cpu().numpy(),
        )

    @property
    def _side(self) -> int:
        """The side of the model's square input, in pixels."""
        return int(np.max(self._network.config.prompt_encoder_config.image_size))

    def _autocast(self) -> AbstractContextManager[Any]:
        import torch

        kind = self._device.partition(":")[0]
        reduced = self.precision == "bfloat16"
        if self.precision == "auto":
            reduced = quick_bfloat16(kind)
        return torch.autocast(kind, torch.bfloat16) if reduced else nullcontext()


def _thick(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The same picture, its shorter side repeated if it would vanish in the model's input."""
    least = -(-max(pixels.shape[:2]) // (2 * side))
    for axis in (0, 1):
        if pixels.shape[axis] < least:
            pixels = pixels.repeat(-(-least // pixels.shape[axis]), axis)
    return pixels


def _each(features: Any, change: Any) -> Any:
    """A tensor, or each of a list of tensors, changed."""
    return change(features) if not isinstance(features, (list, tuple)) else [*map(change, features)]


def _last(features: Any) -> Any:
    """The tensor, or the coarsest of a list of them."""
    return features[-1] if isinstance(features, (list, tuple)) else features


@hookimpl
def segkit_segmenters() -> Sequence[type[Segmenter]]:
    """Register `hf-sam`."""
    return [HfSam]
