"""Masks of all instances of whatever is named in words, or of those that prompts mean: SAM 3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, PrivateAttr

from segkit import (
    BadValueError,
    Image,
    Masks,
    MissingExtraError,
    Prompt,
    Prompts,
    Segmenter,
    UsageError,
    hookimpl,
)
from segkit_plugins.shared.hub import model_folder
from segkit_plugins.shared.hub_models import (
    load_network,
    load_processor,
    load_tokenizer,
    model_type,
    weight_files,
)
from segkit_plugins.shared.name_tables import folded
from segkit_plugins.shared.texts import check_texts

KINDS = ("sam3", "sam3_video")
"""The types of model in transformers that have SAM 3's detector of concepts."""

TOKENS = 32
"""A text's length; shorter ones are filled up, longer ones cut."""


class Instance(NamedTuple):
    """What SAM 3 has found of a text."""

    pixels: NDArray[np.bool_]
    """(H, W)."""
    score: float
    edges: NDArray[np.float32]
    """Left, top, right, bottom edge (4,) in pixels, from 0 to the image's size."""
    text: str


class Sam3(Segmenter):
    """Masks of all instances of the classes that are asked for in words, the surest first.

    SAM 3 (Carion et al. 2025) as transformers has it, asked by concepts. `--classes "zebra,red
    car,person"` says what to look for; left out, it is what the data set's classes are called. Each
    class is asked for on its own, on one encoding of the image. A mask's score is the probability
    of its query times that of the class being in the image at all; masks of a score under
    `confidence` are dropped. Without prompts each mask answers one of its own, and is named.

    With a prompter (`--prompt box`, `--prompt grounding-dino`) each prompt is answered by the
    instances that it means. Its name is the text, or else each class is tried. The boxes of all
    prompts with one text are shown to the model beside it, as examples of what is meant, and a box
    is answered by the instance whose box overlaps it most. SAM 3's detector takes no points: a
    prompt's points choose, they lie on the instance if they are positive and beside it if not.

    For SAM 3 asked by points and boxes alone, without a text, see `hf-sam`.
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

    def check_early(self, classes: Mapping[int, str] | None) -> None:
        """Raises `UsageError` for no text, for too many, and for an empty one."""
        if classes is not None:
            check_texts(self, classes)

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
        self,
        image: Image,
        encoding: Any,
        prompts: Prompts | None = None,
        classes: Mapping[int, str] | None = None,
    ) -> Masks:
        """Masks (n, H, W), their scores and classes, the surest first, or prompt by prompt.

        Raises `BadValueError` for a prompt that is a mask.
        """
        texts = tuple((classes or {}).values())
        if prompts is None:
            instances = [i for text in texts for i in self._instances(image, encoding, text)]
            instances.sort(key=lambda instance: -instance.score)
            return _as_masks(image, instances[: self.most], range(len(instances)))
        answers: list[tuple[int, Instance]] = []
        for text, places in _prompts_by_text(prompts, texts).items():
            boxes = [box for i in places if (box := prompts[i].box) is not None]
            instances = self._instances(image, encoding, text, boxes)
            for place in places:
                answers += [(place, match) for match in _matches(prompts[place], instances)]
        answers.sort(key=lambda answer: -answer[1].score)
        answers = sorted(answers[: self.most], key=lambda answer: answer[0])
        matches = [instance for _, instance in answers]
        return _as_masks(image, matches, [place for place, _ in answers])

    def _instances(
        self, image: Image, encoding: Any, text: str, boxes: Sequence[NDArray[Any]] = ()
    ) -> list[Instance]:
        """All that is found of a text, with boxes (4,) in pixels as examples of it."""
        import torch

        features, mask = self._text(text)
        examples: dict[str, Any] = {}
        if boxes:
            height, width = image.size
            edges = np.stack([_edges(box) for box in boxes]) / [width, height, width, height]
            first, last = np.split(edges, 2, axis=1)
            centres = np.hstack([(first + last) / 2, last - first])[None]  # (1, n, 4): x, y, w, h
            shown = torch.from_numpy(centres.astype(np.float32)).to(self._model.device)
            examples["input_boxes"] = shown
            examples["input_boxes_labels"] = torch.ones_like(shown[..., 0], dtype=torch.long)
        with torch.inference_mode():
            output = self._model(
                vision_embeds=encoding, text_embeds=features, attention_mask=mask, **examples
            )
            (result,) = self._processor.post_process_instance_segmentation(
                output, self.confidence, self.mask_threshold, target_sizes=[image.size]
            )
        masks, scores = result["masks"].cpu().numpy().astype(bool), result["scores"].tolist()
        boxes_of_masks = result["boxes"].float().cpu().numpy()
        triples = zip(masks, scores, boxes_of_masks, strict=True)
        return [Instance(*triple, text) for triple in triples]

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


def _prompts_by_text(prompts: Prompts, texts: Sequence[str]) -> dict[str, list[int]]:
    """Text to the places of the prompts that mean it. Raises `BadValueError` for a mask."""
    own = {folded(text): text for text in texts}
    asked: dict[str, list[int]] = {}
    for place, prompt in enumerate(prompts):
        if prompt.mask is not None:
            raise BadValueError(
                "sam3 takes points and boxes beside a text, and no mask; choose another prompter, "
                "such as --prompt box, or --segmenter hf-sam, which takes masks"
            )
        if prompt.empty:
            continue
        name = prompt.name
        for text in texts if name is None else (own.get(folded(name), name),):
            asked.setdefault(text, []).append(place)
    return asked


def _matches(prompt: Prompt, instances: Sequence[Instance]) -> list[Instance]:
    """The instances that fit a prompt's points; of these its box, if it has one, chooses by IoU."""
    candidates = [instance for instance in instances if _fits_points(prompt, instance.pixels)]
    if prompt.box is None or not candidates:
        return candidates
    overlaps = [_iou(_edges(prompt.box), candidate.edges) for candidate in candidates]
    best = int(np.argmax(overlaps))
    return [candidates[best]] if overlaps[best] > 0 else []


def _fits_points(prompt: Prompt, pixels: NDArray[np.bool_]) -> bool:
    """Whether every positive point lies on the mask (H, W), and no negative one does."""
    height, width = pixels.shape
    x, y = np.floor(prompt.points + 0.5).astype(int).T.clip(0, [[width - 1], [height - 1]])
    return np.array_equal(pixels[y, x], prompt.signs)


def _edges(box: NDArray[Any]) -> NDArray[np.float64]:
    """The edges of a box (4,) that holds its first and its last pixel."""
    return np.asarray(box, np.float64) + np.array([0, 0, 1, 1])


def _iou(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Intersection over union of two boxes (4,) by their edges."""
    sides = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    intersection = float(sides.clip(0).prod())
    areas = [float((box[2:] - box[:2]).clip(0).prod()) for box in (first, second)]
    return intersection / (sum(areas) - intersection) if intersection else 0.0


def _as_masks(image: Image, instances: Sequence[Instance], places: Sequence[int]) -> Masks:
    """The instances as masks that answer the prompts of these places."""
    if not instances:
        return Masks.none(image.size)
    return Masks(
        np.stack([instance.pixels for instance in instances]),
        np.asarray([instance.score for instance in instances], np.float32),
        np.asarray(places[: len(instances)]),
        tuple(instance.text for instance in instances),
    )


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
