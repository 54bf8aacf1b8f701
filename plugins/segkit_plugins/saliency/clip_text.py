"""Where a picture shows what a text says: CLIP's patches against texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat, PositiveInt, PrivateAttr, field_validator

from segkit import Heatmap, Image, MissingExtraError, Saliency, UsageError, hookimpl
from segkit_plugins.shared.hub import model_folder
from segkit_plugins.shared.hub_models import (
    load_network,
    load_tokenizer,
    model_type,
    weight_files,
)
from segkit_plugins.shared.name_tables import folded
from segkit_plugins.shared.texts import check_texts

AT_ONCE = 8
"""Windows, or sixteen times as many texts, that go through the network together."""

LONGEST = 2048
"""The longer side of what the windows slide over is cut down to this."""

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Mean and deviation that CLIP's pictures are normalised with, pixels in [0, 1]."""


class ClipText(Saliency):
    """A heatmap for each class that is asked for by its name, by CLIP without training.

    `--classes "zebra,red car,person"` says what to look for, in any words; left out, it is what the
    data set's classes are called. Each text, put into each of the `templates`, goes through CLIP's
    text half, and the mean is its embedding. The picture's shorter side is resized to `side`;
    windows slide over it, and the cosine of each patch with each text, averaged where windows
    overlap, times `logit_scale`, goes through softmax over all texts, those of the `background`
    included. That probability, resized bilinearly to the image's size, is the heatmap; it is not
    stretched. A text that is the likeliest nowhere is not in the image and has no heatmap, unless
    `every` is set; if none is, there is one of zeros. The score is the greatest probability.

    CLIP (Radford et al. 2021) and OpenCLIP's models in the form of transformers.
    """

    name = "clip-text"
    stretches = False

    model: str = "openai/clip-vit-base-patch16"
    """A folder as save_pretrained writes it, with tokenizer, or a name of the Hugging Face hub that
    has been fetched (segkit weights fetch hf:OWNER/NAME)."""
    attention: Literal["maskclip", "sclip", "clearclip", "naclip"] = "naclip"
    """What becomes of the last block's attention. maskclip (Zhou et al. 2022): each patch keeps its
    own value. sclip (Wang et al. 2024): patches attend to those of like queries, and to those of
    like keys. clearclip (Lan et al. 2024): of like queries, without residual and MLP. naclip
    (Hajimiri et al. 2025): of like keys, and to near ones, without residual and MLP."""
    spread: PositiveFloat = 5.0
    """With naclip: the standard deviation of its Gaussian, in patches."""
    templates: tuple[str, ...] = (
        *("itap of a {}.", "a bad photo of the {}.", "a origami {}.", "a photo of the large {}."),
        *("a {} in a video game.", "art of the {}.", "a photo of the small {}."),
    )
    """What each text is put into, in place of {}; left out: the seven that CLIP's authors chose."""
    background: tuple[str, ...] = (
        *("background", "sky", "wall", "tree", "grass", "road", "water", "floor", "building"),
    )
    """Texts of what is not asked for; they take part in the softmax and have no heatmap."""
    logit_scale: PositiveFloat = 40.0
    """What cosines are multiplied by: the higher, the surer. CLIP's own is 100."""
    side: PositiveInt = 336
    """The picture's shorter side, in pixels."""
    window: PositiveInt | None = None
    """The windows' side, in pixels; left out: what the model was trained with."""
    stride: PositiveInt | None = None
    """How far windows lie apart, in pixels; left out: half a window."""
    every: bool = False
    """Have a heatmap of each text, seen or not."""

    _model: Any = PrivateAttr(None)
    _tokenizer: Any = PrivateAttr(None)
    _encoded: dict[tuple[str, ...], Any] = PrivateAttr(default_factory=dict)

    @field_validator("templates")
    @classmethod
    def _check_templates(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        if not templates or any("{}" not in template for template in templates):
            raise ValueError("each template should have {} where the text goes")
        return templates

    @field_validator("background")
    @classmethod
    def _check_background(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        if any(not text.strip() for text in texts):
            raise ValueError("a background text should not be empty")
        return texts

    def open(self, device: str) -> None:
        """Load model and tokenizer.

        Raises `UsageError` for a model that is not there, has no text half, is no CLIP, or has no,
        damaged or foreign weights; `MissingExtraError` without transformers.
        """
        try:
            from transformers import CLIPModel
        except ModuleNotFoundError:
            raise MissingExtraError("--saliency clip-text", "transformers", "hf") from None
        asked = f"--clip-text.model {self.model}"
        folder = model_folder("--clip-text.model", self.model)
        _check_kind(asked, folder)
        network = load_network(CLIPModel, folder, asked, "CLIP", ("logit_scale",))
        words = int(network.config.text_config.vocab_size)
        self._tokenizer = load_tokenizer(folder, asked, words)
        self._model = network.to(device).eval().requires_grad_(False)
        self._encoded = {}

    def check_early(self, classes: Mapping[int, str] | None) -> None:
        """Raises `UsageError` for no text, for too many, and for an empty one."""
        if classes is not None:
            check_texts(self, classes)

    def settle(self, classes: Mapping[int, str]) -> None:
        """Encode the texts. Raises `UsageError` for none, and for too many."""
        self._embeddings(check_texts(self, classes))

    def close(self) -> None:
        """Drop model, tokenizer and texts."""
        self._model = self._tokenizer = None
        self._encoded = {}

    def weight_files(self) -> Mapping[str, Path]:
        """The files of the model's weights, by their names."""
        folder = model_folder("--clip-text.model", self.model)
        return {path.name: path for path in weight_files(f"--clip-text.model {self.model}", folder)}

    def __call__(
        self, image: Image, classes: Mapping[int, str] | None = None
    ) -> tuple[Heatmap, ...]:
        """Heatmaps (H, W) of the classes that are seen, the likeliest first; else one of zeros."""
        import torch

        names = tuple((classes or {}).values())
        if not names:
            return (Heatmap(np.zeros(image.size, np.float32), None, 0.0),)
        with torch.inference_mode():
            logits = self._logits(image, self._embeddings(names))
            likely = (self.logit_scale * logits).softmax(dim=0)
            wins = set(likely.argmax(dim=0).unique().tolist())
            scores = likely.flatten(1).amax(dim=1)[: len(names)].tolist()
            kept = [i for i in range(len(names)) if self.every or i in wins]
            kept.sort(key=lambda i: -scores[i])
            return tuple(
                Heatmap(_enlarged(likely[i], image.size), names[i], scores[i]) for i in kept
            ) or (Heatmap(np.zeros(image.size, np.float32), None, 0.0),)

    def _embeddings(self, names: tuple[str, ...]) -> Any:
        """(n, D) of length 1: those of the names, then those of the background."""
        if names not in self._encoded:
            own = {folded(name) for name in names}
            rest = [text for text in dict.fromkeys(self.background) if folded(text) not in own]
            self._encoded[names] = self._encode([*names, *rest])
        return self._encoded[names]

    def _encode(self, texts: Sequence[str]) -> Any:
        """The mean embedding of each text's templates, (n, D), of length 1."""
        import torch

        whole = [template.replace("{}", text) for text in texts for template in self.templates]
        parts = []
        with torch.inference_mode():
            for start in range(0, len(whole), 16 * AT_ONCE):
                given = self._tokenizer(
                    whole[start : start + 16 * AT_ONCE],
                    padding=True,
                    truncation=True,
                    max_length=self._model.config.text_config.max_position_embeddings,
                    return_tensors="pt",
                ).to(self._model.device)
                made = self._model.get_text_features(
                    input_ids=given["input_ids"], attention_mask=given["attention_mask"]
                )
                parts.append(getattr(made, "pooler_output", made))
            features = torch.nn.functional.normalize(torch.cat(parts), dim=-1)
            mean = features.reshape(len(texts), len(self.templates), -1).mean(dim=1)
            return torch.nn.functional.normalize(mean, dim=-1)

    def _logits(self, image: Image, texts: Any) -> Any:
        """Cosines (n, h, w) of the resized picture's pixels with the texts."""
        import torch
        import torch.nn.functional as F

        from segkit_plugins.saliency._clip_dense import patch_embeddings

        picture = self._prepared(image.pixels)
        height, width = picture.shape[-2:]
        boxes = self._windows(height, width)
        total = torch.zeros(len(texts), height, width, device=texts.device)
        count = torch.zeros(height, width, device=texts.device)
        for start in range(0, len(boxes), AT_ONCE):
            some = boxes[start : start + AT_ONCE]
            cut = torch.stack([picture[:, t:b, left:r] for t, left, b, r in some])
            seen = patch_embeddings(self._model, cut, self.attention, self.spread)
            for (t, left, b, r), own in zip(some, seen, strict=True):
                low = torch.einsum("nd,dhw->nhw", texts, own)
                size = (b - t, r - left)
                total[:, t:b, left:r] += F.interpolate(low[None], size, mode="bilinear")[0]
                count[t:b, left:r] += 1
        return total / count

    def _prepared(self, pixels: NDArray[np.uint8]) -> Any:
        """The picture (3, h, w) that windows slide over, sides multiples of a patch, normalised."""
        import torch
        import torch.nn.functional as F

        patch, device = self._patch, self._model.device
        scale = min(self.side / min(pixels.shape[:2]), LONGEST / max(pixels.shape[:2]))
        size = [max(1, round(n * scale / patch)) * patch for n in pixels.shape[:2]]
        picture = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
        picture = F.interpolate(picture, size, mode="bilinear", antialias=True)[0]
        mean, std = (torch.tensor(v, device=device)[:, None, None] for v in (MEAN, STD))
        return (picture.to(device).float() / 255 - mean) / std

    @property
    def _patch(self) -> int:
        return int(self._model.config.vision_config.patch_size)

    def _windows(self, height: int, width: int) -> list[tuple[int, int, int, int]]:
        """Top, left, bottom and right of each window; the last of a row ends with the picture."""
        patch = self._patch
        whole = self.window or int(self._model.config.vision_config.image_size)
        window = max(1, whole // patch) * patch
        stride = min(self.stride or max(1, window // 2), window)

        def spans(length: int) -> list[tuple[int, int]]:
            side = min(window, length)
            starts = [*range(0, length - side, stride), length - side]
            return [(start, start + side) for start in starts]

        return [(t, left, b, r) for t, b in spans(height) for left, r in spans(width)]


def _enlarged(likely: Any, size: tuple[int, int]) -> NDArray[np.float32]:
    """A map (h, w) at the image's size (H, W)."""
    import torch.nn.functional as F

    high = F.interpolate(likely[None, None].float(), size, mode="bilinear", align_corners=False)
    values: NDArray[np.float32] = high[0, 0].clamp(0, 1).cpu().numpy()
    return values


def _check_kind(asked: str, folder: Path) -> None:
    """Refuse a folder that holds no CLIP with both halves."""
    kind = model_type(folder, asked)
    if kind == "clip_vision_model":
        raise UsageError(
            f"{asked} has no text half, so no text can be looked for; give a whole CLIP, such as "
            "openai/clip-vit-base-patch16"
        )
    if kind != "clip":
        raise UsageError(
            f"{asked} is of type {kind}, and a CLIP (type clip) is wanted; choose another model, "
            "such as openai/clip-vit-base-patch16"
        )


@hookimpl
def segkit_saliency() -> Sequence[type[Saliency]]:
    """Register `clip-text`."""
    return [ClipText]
