"""The Segment Anything family by transformers: SAM, SAM-HQ, SAM 2, SAM 3, EdgeTAM and kin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PrivateAttr

from segkit import Image, Masks, Prompt, Prompts, Segmenter, hookimpl
from segkit_plugins.segmenter._prompted import Frame, Gathering, ambiguous, answers_of, rows_of
from segkit_plugins.shared.hub import model_folder
from segkit_plugins.shared.hub_models import weight_files

CHUNK = 16
"""Prompts decoded at a time; bounds memory."""

TOGETHER = 8
"""Images that a GPU encodes in a pass; more make a large encoder no faster."""


@dataclass(frozen=True)
class Encoding:
    """What is known of one image before any prompt."""

    features: Mapping[str, Any]
    """The model's own arguments: tensors, or lists of them, of one image on the step's device."""
    inside: tuple[int, int]
    """(h, w) that the resized image covers in the model's input; less than its side: padded."""
    padded: bool
    """Whether the model pads what is not square; it then enlarges masks in two steps."""


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
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of the image encoder: bfloat16 rounds, and is some three times as fast where the processor
    has it; auto takes it there (on a GPU without it, float16)."""
    multimask: Literal["auto", "on", "off"] = "auto"
    """Three candidates per prompt, or one. auto: three for a single point, which may mean a part
    or the whole; one for a box or several points."""

    _network: Any = PrivateAttr(None)
    _processor: Any = PrivateAttr(None)
    _device: str = PrivateAttr("cpu")
    _together: bool = PrivateAttr(False)
    """Whether images are encoded, and prompts of several decoded, in one pass."""

    def open(self, device: str) -> None:
        """Load the weights.

        Raises `UsageError` where the folder or the cached model cannot be used,
        `MissingExtraError` without transformers (or timm, which EdgeTAM needs).
        """
        from segkit_plugins.segmenter.hf_sam.loading import load
        from segkit_plugins.shared.devices import works_together

        network, self._processor = load(self.model)
        self._network = network.to(device).eval().requires_grad_(False)
        self._device, self._together = device, works_together(device)

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
        return self._encoded([image])[0]

    def encode_batch(self, inputs: Sequence[Mapping[str, Any]]) -> list[Encoding]:
        """The embeddings of several images; on a GPU eight in a pass."""
        images, most = [values["image"] for values in inputs], TOGETHER if self._together else 1
        parts = (images[start : start + most] for start in range(0, len(images), most))
        return [encoding for part in parts for encoding in self._encoded(part)]

    def _encoded(self, images: Sequence[Image]) -> list[Encoding]:
        """The embedding of each image, worked out in one pass."""
        import torch

        from segkit_plugins.shared.devices import dtype_of, rounding, to_device

        given = self._processor(
            # torch wants to be able to write
            images=[_thick(image.pixels, self._side).copy() for image in images],
            input_data_format="channels_last",  # else 3 rows would be taken for 3 channels
            return_tensors="pt",
        )
        pixels = to_device(given["pixel_values"], self._device)
        # Only models that pad say how much of their input is the image.
        whole = [pixels.shape[-2:]] * len(images)
        inside, pads = given.get("reshaped_input_sizes", whole), "reshaped_input_sizes" in given
        dtype = dtype_of(self.precision, self._device)
        with torch.inference_mode(), rounding(dtype, self._device):
            found = self._network.get_image_embeddings(pixels)
        features = {"image_embeddings": found}
        if isinstance(found, tuple):  # SAM-HQ, whose decoder looks at the first of the others
            features = {"image_embeddings": found[0], "intermediate_embeddings": found[1][:1]}
        return [
            Encoding(
                {k: _each(v, lambda t, i=i: t[i : i + 1].float()) for k, v in features.items()},
                (int(rows), int(columns)),
                pads,
            )
            for i, (rows, columns) in enumerate(inside)
        ]

    def __call__(self, image: Image, prompts: Prompts, encoding: Encoding) -> Masks:
        """Candidates for each prompt, in the order of the prompts."""
        return self._answered([{"image": image, "prompts": prompts, "encoding": encoding}])[0]

    def batch(self, inputs: Sequence[Mapping[str, Any]]) -> list[Masks]:
        """The same of several images; on a GPU their prompts are decoded together."""
        if self._together:
            return self._answered(inputs)
        return [self._answered([values])[0] for values in inputs]

    def _answered(self, inputs: Sequence[Mapping[str, Any]]) -> list[Masks]:
        """Candidates for the prompts of each image."""
        gatherings = [Gathering(values["prompts"], values["image"].size) for values in inputs]
        for rows in rows_of([values["prompts"] for values in inputs], self._several, CHUNK):
            about = [(inputs[i]["encoding"], inputs[i]["image"].size) for i, _, _ in rows]
            answers = self._decode([prompts for *_, prompts in rows], about)
            asked = ((i, place) for i, places, _ in rows for place in places)
            for (i, place), answer in zip(asked, answers, strict=True):
                gatherings[i].add(place, *answer)
        return [gathering.done() for gathering in gatherings]

    def _several(self, prompt: Prompt) -> bool:
        """Whether this prompt gets several candidates."""
        return ambiguous(prompt) if self.multimask == "auto" else self.multimask == "on"

    def _decode(
        self,
        rows: Sequence[Sequence[Prompt]],
        about: Sequence[tuple[Encoding, tuple[int, int]]],
    ) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
        """Of prompts that look alike masks (c, H, W), scores (c,) and logits (c, h, w) each.

        `rows`: as many prompts on each image; `about`: its encoding and (H, W).
        """
        import torch

        count, several = len(rows[0]), self._several(rows[0][0])
        features = _joined([encoding.features for encoding, _ in about])
        if rows[0][0].mask is not None and count > 1:
            # The models take many prompts on one image; masks only one an image, so it is repeated.
            features = {
                k: _each(v, lambda t: t.repeat_interleave(count, 0)) for k, v in features.items()
            }
        with torch.inference_mode():
            made = self._network(
                **features, **self._questions(rows, about), multimask_output=several
            )
            logits = made.pred_masks.flatten(0, 1).float()
            side, low = self._side, logits.shape[-2:]
            frames = [
                # Models that do not pad enlarge in one step.
                Frame(side, low, e.inside, size, by_input=e.padded)
                for e, size in about
                for _ in range(count)
            ]
            return answers_of(frames, logits, made.iou_scores.flatten(0, 1).float())

    def _questions(
        self,
        rows: Sequence[Sequence[Prompt]],
        about: Sequence[tuple[Encoding, tuple[int, int]]],
    ) -> dict[str, Any]:
        """The prompts as the models take them: (b, n, …), with masks (b · n, 1, …)."""
        import torch

        from segkit_plugins.shared.devices import to_device

        first, side = rows[0][0], self._side
        lead = (len(rows), len(rows[0])) if first.mask is None else (len(rows) * len(rows[0]), 1)
        asked: dict[str, Any] = {}
        # x and y of the image to x and y of the model's input.
        scales = [np.array(e.inside[::-1]) / np.array(size[::-1]) for e, size in about]
        scaled = [(p, scale) for row, scale in zip(rows, scales, strict=True) for p in row]

        def tensor(values: Any, *shape: int) -> Any:
            array = np.stack(values).reshape(*lead, *shape)
            kind = torch.float32 if array.dtype.kind == "f" else torch.int64
            return to_device(torch.as_tensor(array, dtype=kind), self._device)

        if count := len(first.points):
            asked["input_points"] = tensor([p.points * scale for p, scale in scaled], count, 2)
            asked["input_labels"] = tensor([p.signs for p, _ in scaled], count)
        if first.box is not None:
            boxes = [p.box.reshape(2, 2) * scale for p, scale in scaled if p.box is not None]
            asked["input_boxes"] = tensor(boxes, 4)
        if first.mask is not None:
            # Every model of the family takes masks at four times its embedding's resolution.
            h, w = (4 * m for m in _last(about[0][0].features["image_embeddings"]).shape[-2:])
            low = [
                Frame(side, (h, w), encoding.inside, size).fitted(prompt.mask)
                for row, (encoding, size) in zip(rows, about, strict=True)
                for prompt in row
                if prompt.mask is not None
            ]
            asked["input_masks"] = to_device(torch.stack(low), self._device)
        return asked

    @property
    def _side(self) -> int:
        """The side of the model's square input, in pixels."""
        return int(np.max(self._network.config.prompt_encoder_config.image_size))


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


def _joined(several: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The features of several images as those of a batch."""
    import torch

    if len(several) == 1:
        return several[0]
    joined: dict[str, Any] = {}
    for name, first in several[0].items():
        own = [features[name] for features in several]
        if isinstance(first, (list, tuple)):
            joined[name] = [torch.cat(level) for level in zip(*own, strict=True)]
        else:
            joined[name] = torch.cat(own)
    return joined


def _last(features: Any) -> Any:
    """The tensor, or the coarsest of a list of them."""
    return features[-1] if isinstance(features, (list, tuple)) else features


@hookimpl
def segkit_segmenters() -> Sequence[type[Segmenter]]:
    """Register `hf-sam`."""
    return [HfSam]
