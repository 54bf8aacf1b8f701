"""Masks of all instances of whatever is named in words: SAM 3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, PrivateAttr

from segkit import Image, Masks, MissingExtraError, Segmenter, UsageError, hookimpl
from segkit_plugins.shared.hub import model_folder
from segkit_plugins.shared.hub_models import (
    load_network,
    load_processor,
    load_tokenizer,
    model_type,
    weight_files,
)
from segkit_plugins.shared.texts import check_texts

KINDS = ("sam3", "sam3_video")
"""The types of model in transformers that have SAM 3's detector of concepts."""

TOKENS = 32
"""A text's length; shorter ones are filled up, longer ones cut."""


class Sam3(Segmenter):
    """Masks of all instances of the classes that are asked for in words, the surest first.

    SAM 3 (Carion et al. 2025) as transformers has it, asked by concepts. `--classes "zebra,red
    car,person"` says what to look for; left out, it is what the data set's classes are called. Each
    class is asked for on its own, on one encoding of the image. A mask's score is the probability
    of its query times that of the class being in the image at all; masks of a score under
    `confidence` are dropped. No prompts are read: each mask answers one of its own, and is named.

    For SAM 3 asked by points and boxes see `hf-sam`.
    """

    name = "sam3"

    model: str = "facebook/sam3"
    """A folder as save_pretrained writes it, with tokenizer and image processor, or a name of the
    Hugging Face hub that has been fetched (segkit weights fetch hf:OWNER/NAME)."""

    confidence: float = Field(0.5, ge=0, le=1)
    """Masks of no greater score are dropped."""

    mask_threshold: float = Field(0.5, gt=0, lt=1)
    """Probability from which a pixel is on the object."""

    most: PositiveInt = 100
    """Largest number of masks of an image; the surest are kept."""

    _model: Any = PrivateAttr(None)
    _processor: Any = PrivateAttr(None)
    _tokenizer: Any = PrivateAttr(None)
    _read: dict[str, tuple[Any, Any]] = PrivateAttr(default_factory=dict)

    def open(self, device: str) -> None:
        """Load model, image processor and tokenizer.

        Raises `UsageError` for a model that is not there, is no SAM 3, or has no, damaged or
        foreign weights; `MissingExtraError` without transformers.
        """
        try:
            from transformers import Sam3Model
        except ImportError:
            raise MissingExtraError("--segmenter sam3", "transformers", "hf") from None
        asked = f"--sam3.model {self.model}"
        folder = model_folder("--sam3.model", self.model)
        _check_kind(asked, folder)
        network = load_network(Sam3Model, folder, asked, "SAM 3")
        self._processor = load_processor(folder, asked)
        self._tokenizer = load_tokenizer(folder, asked, int(network.config.text_config.vocab_size))
        self._model = network.to(device).eval().requires_grad_(False)
        self._read = {}

    def settle(self, classes: Mapping[int, str]) -> None:
        """Read the texts. Raises `UsageError` for none, for too many, and for an empty one."""
        for text in check_texts(self, classes):
            self._text(text)

    def close(self) -> None:
        """Drop the model."""
        self._model = self._processor = self._tokenizer = None
        self._read = {}

    def weight_files(self) -> Mapping[str, Path]:
        """The files of the model's weights, by their names."""
        folder = model_folder("--sam3.model", self.model)
        return {path.name: path for path in weight_files(f"--sam3.model {self.model}", folder)}

    def encode(self, image: Image) -> Any:
        """What the image encoder sees, as transformers has it."""
        import torch

        inputs = self._processor(
            images=image.pixels.copy(), input_data_format="channels_last", return_tensors="pt"
        )
        with torch.inference_mode():
            return self._model.get_vision_features(
                pixel_values=inputs["pixel_values"].to(self._model.device)
            )

    def __call__(
        self, image: Image, encoding: Any, classes: Mapping[int, str] | None = None
    ) -> Masks:
        """Masks (n, H, W), their scores and classes, the surest first."""
        import torch

        masks: list[NDArray[np.bool_]] = []
        scores: list[float] = []
        names: list[str] = []
        for name in (classes or {}).values():
            text, mask = self._text(name)
            with torch.inference_mode():
                told = self._model(vision_embeds=encoding, text_embeds=text, attention_mask=mask)
                (seen,) = self._processor.post_process_instance_segmentation(
                    told, self.confidence, self.mask_threshold, target_sizes=[image.size]
                )
            masks += [*seen["masks"].cpu().numpy().astype(bool)]
            scores += seen["scores"].float().tolist()
            names += [name] * len(seen["scores"])
        order = np.argsort(-np.asarray(scores), kind="stable")[: self.most]
        if not len(order):
            return Masks.none(image.size)
        return Masks(
            np.stack([masks[i] for i in order]),
            np.asarray(scores, np.float32)[order],
            np.arange(len(order)),
            tuple(names[i] for i in order),
        )

    def _text(self, text: str) -> tuple[Any, Any]:
        """What the model makes of a text, and which of its tokens count."""
        import torch

        if text not in self._read:
            given = self._tokenizer(
                text, padding="max_length", truncation=True, max_length=TOKENS, return_tensors="pt"
            ).to(self._model.device)
            with torch.inference_mode():
                features = self._model.get_text_features(
                    input_ids=given["input_ids"], attention_mask=given["attention_mask"]
                )
            self._read[text] = features, given["attention_mask"]
        return self._read[text]


def _check_kind(asked: str, folder: Path) -> None:
    """Refuse a folder that holds no SAM 3 that reads texts."""
    kind = model_type(folder, asked)
    if kind == "sam3_tracker":
        raise UsageError(
            f"{asked} has no text half, so no text can be looked for; ask it by points and boxes, "
            "--segmenter hf-sam, or give a whole SAM 3"
        )
    if kind not in KINDS:
        raise UsageError(
            f"{asked} is of type {kind}, and {' or '.join(KINDS)} is wanted; choose another model, "
            "such as facebook/sam3"
        )


@hookimpl
def segkit_segmenters() -> Sequence[type[Segmenter]]:
    """Register `sam3`."""
    return [Sam3]
