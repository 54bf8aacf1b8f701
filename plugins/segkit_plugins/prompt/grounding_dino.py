"""Boxes of whatever is named in words: Grounding DINO."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, PositiveInt, PrivateAttr

from segkit import Image, MissingExtraError, Prompter, Prompts, UsageError, hookimpl
from segkit_plugins.prompt._detection import as_prompts, no_strip
from segkit_plugins.shared.hub import model_folder
from segkit_plugins.shared.hub_models import (
    load_network,
    load_processor,
    load_tokenizer,
    model_type,
    weight_files,
)
from segkit_plugins.shared.texts import check_texts

KINDS = ("grounding-dino", "mm-grounding-dino")
"""The types of model in transformers that read texts as this step writes them."""

EXAMPLE = "IDEA-Research/grounding-dino-tiny"


@dataclass(frozen=True)
class Phrases:
    """Classes that the model is asked for together."""

    text: str
    """'zebra. red car.'"""
    first: int
    """The place of the first of these classes among all."""
    tokens: tuple[tuple[int, ...], ...]
    """Of each class the places of its own tokens."""


class GroundingDino(Prompter):
    """A prompt for each object of the classes that are asked for in words: box, class, score.

    `--classes "zebra,red car,person"` says what to look for; left out, it is what the data set's
    classes are called. Grounding DINO (Liu et al. 2024) reads them as one text, 'zebra. red car.
    person.', and answers with boxes, each with a probability of every token of the text. A box's
    class is the one with the likeliest token, which is its score; boxes under `confidence` are
    dropped, the best come first. Where the text is longer than the model reads at a time, the
    classes are asked for in several parts. Boxes are cut at the image's border. No detection makes
    no prompt.
    """

    name = "grounding-dino"

    model: str = EXAMPLE
    """A folder as save_pretrained writes it, with tokenizer and image processor, or a name of the
    Hugging Face hub that has been fetched (segkit weights fetch hf:OWNER/NAME)."""

    confidence: float = Field(0.35, ge=0, le=1)
    """Least score of a detection."""

    most: PositiveInt = 100
    """Largest number of detections; the best are kept."""

    _model: Any = PrivateAttr(None)
    _processor: Any = PrivateAttr(None)
    _tokenizer: Any = PrivateAttr(None)
    _asked: dict[tuple[str, ...], tuple[Phrases, ...]] = PrivateAttr(default_factory=dict)

    def open(self, device: str) -> None:
        """Load model, image processor and tokenizer.

        Raises `UsageError` for a model that is not there, is no Grounding DINO, or has no, damaged
        or foreign weights; `MissingExtraError` without transformers.
        """
        try:
            from transformers import AutoModelForZeroShotObjectDetection
        except ModuleNotFoundError:
            raise MissingExtraError("--prompt grounding-dino", "transformers", "hf") from None
        asked = f"--grounding-dino.model {self.model}"
        folder = model_folder("--grounding-dino.model", self.model)
        _check_kind(asked, folder)
        network = load_network(AutoModelForZeroShotObjectDetection, folder, asked, "Grounding DINO")
        self._processor = load_processor(folder, asked)
        self._tokenizer = load_tokenizer(folder, asked, int(network.config.text_config.vocab_size))
        self._model = network.to(device).eval().requires_grad_(False)
        self._asked = {}

    def check_early(self, classes: Mapping[int, str] | None) -> None:
        """Raises `UsageError` for no text, for too many, and for an empty one."""
        if classes is not None:
            check_texts(self, classes)

    def settle(self, classes: Mapping[int, str]) -> None:
        """Read the texts. Raises `UsageError` for none, too many, and one that it cannot read."""
        self._phrases(check_texts(self, classes))

    def close(self) -> None:
        """Drop the model."""
        self._model = self._processor = self._tokenizer = None
        self._asked = {}

    def weight_files(self) -> Mapping[str, Path]:
        """The files of the model's weights, by their names."""
        folder = model_folder("--grounding-dino.model", self.model)
        asked = f"--grounding-dino.model {self.model}"
        return {path.name: path for path in weight_files(asked, folder)}

    def __call__(self, image: Image, classes: Mapping[int, str] | None = None) -> Prompts:
        """A prompt with a box for each detection; none if nothing is found or asked for."""
        import torch

        names = tuple((classes or {}).values())
        pixels = no_strip(image.pixels)
        height, width = pixels.shape[:2]
        inputs = self._processor(
            images=pixels, input_data_format="channels_last", return_tensors="pt"
        ).to(self._model.device)
        boxes, scores = [np.zeros((0, 4))], [np.zeros((0, len(names)))]
        for phrases in self._phrases(names):
            words = self._tokenizer(phrases.text, return_tensors="pt").to(self._model.device)
            with torch.inference_mode():
                told = self._model(**inputs, **words)
            likely = told.logits[0].float().sigmoid().cpu().numpy()
            own = np.zeros((len(likely), len(names)))
            for place, tokens in enumerate(phrases.tokens, phrases.first):
                own[:, place] = likely[:, tokens].max(axis=1)
            boxes.append(told.pred_boxes[0].float().cpu().numpy())
            scores.append(own)
        middle, extent = np.split(np.concatenate(boxes), 2, axis=1)
        edges = np.hstack([middle - extent / 2, middle + extent / 2])
        edges *= [width, height, width, height]
        all_scores = np.concatenate(scores)
        sure = np.flatnonzero((all_scores > self.confidence).any(axis=1))
        best = all_scores[sure].argmax(axis=1) if len(sure) else np.zeros(0, np.int64)
        prompts = as_prompts(edges[sure], all_scores[sure, best], best, names, image.size)
        return Prompts(prompts.items[: self.most])

    def _phrases(self, names: tuple[str, ...]) -> tuple[Phrases, ...]:
        """The texts of these classes, as many in one as the model reads."""
        if names not in self._asked:
            most = int(getattr(self._model.config, "max_text_len", 256))
            parts: list[Phrases] = []
            start = 0
            while start < len(names):
                end = len(names)
                while (phrases := self._written(names, start, end, most)) is None:
                    end = start + (end - start) // 2
                parts.append(phrases)
                start = end
            self._asked[names] = tuple(parts)
        return self._asked[names]

    def _written(self, names: tuple[str, ...], first: int, end: int, most: int) -> Phrases | None:
        """The text of some of the classes; None where it is too long, and there are several."""
        text, spans = "", []
        for name in names[first:end]:
            # A full stop or question mark would be taken for the end of a phrase.
            phrase = " ".join(re.sub(r"[.?]", " ", name.lower()).split())
            begin = len(text) + bool(text)
            text = f"{text} {phrase}." if text else f"{phrase}."
            spans.append((begin, begin + len(phrase)))
        told = self._tokenizer(text, return_offsets_mapping=True)
        if len(told["input_ids"]) > most:
            if end - first > 1:
                return None
            raise UsageError(
                f"--prompt {self.name} cannot read a text of {len(told['input_ids'])} tokens "
                f"('{names[first][:40]} …'), and takes {most} at most; shorten it"
            )
        unknown, pairs = (
            self._tokenizer.unk_token_id,
            zip(told["input_ids"], told["offset_mapping"], strict=True),
        )
        known = [(i, a, b) for i, (token, (a, b)) in enumerate(pairs) if token != unknown and a < b]
        tokens = [
            tuple(i for i, a, b in known if begin <= a and b <= stop) for begin, stop in spans
        ]
        for name, own in zip(names[first:end], tokens, strict=True):
            if not own:
                raise UsageError(
                    f"--prompt {self.name}: {self.model} knows no word of '{name}'; say it in "
                    "other words"
                )
        return Phrases(text, first, tuple(tokens))


def _check_kind(asked: str, folder: Path) -> None:
    """Refuse a folder that holds no Grounding DINO."""
    kind = model_type(folder, asked)
    if kind.replace("_", "-") not in KINDS:
        raise UsageError(
            f"{asked} is of type {kind}, and {' or '.join(KINDS)} is wanted; choose another model, "
            f"such as {EXAMPLE}"
        )


@hookimpl
def segkit_prompters() -> Sequence[type[Prompter]]:
    """Register `grounding-dino`."""
    return [GroundingDino]
