"""Boxes that a DETR finds, each with its class; any object detector of transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, PositiveInt, PrivateAttr

from segkit import Image, MissingExtraError, Prompter, Prompts, UsageError, hookimpl
from segkit_plugins.prompt._detection import as_prompts, no_strip, renamed
from segkit_plugins.shared.hub import model_folder
from segkit_plugins.shared.hub_models import load_network, load_processor, weight_files
from segkit_plugins.shared.name_tables import restricted
from segkit_plugins.shared.reading import parsed_json, read_text


class Detr(Prompter):
    """A prompt for each object that a transformers detector finds: box, class, score; best first.

    DETR (Carion et al. 2020) and its kin: Conditional and Deformable DETR, RT-DETR, D-FINE, YOLOS,
    whatever transformers' `AutoModelForObjectDetection` loads. The model's own image processor
    prepares the picture and reads the answer. These networks find each object once, so that
    overlapping boxes are not suppressed.

    Boxes are cut at the image's border. No detection makes no prompt.
    """

    name = "detr"

    model: str
    """A folder with config.json, preprocessor_config.json and model.safetensors or
    pytorch_model.bin, or a name of the Hugging Face hub that has been fetched (segkit weights fetch
    hf:OWNER/NAME)."""

    confidence: float = Field(0.5, ge=0, le=1)
    """Least score of a detection."""

    most: PositiveInt = 300
    """Largest number of detections; the best are kept."""

    classes: tuple[str, ...] = ()
    """The class names to keep, after the table; left out: all."""

    table: str | None = None
    """A name table, such as 'coco-voc' or a file: what each class is called in the prompts; classes
    that it lacks are dropped. Left out: as the model calls them."""

    _model: Any = PrivateAttr(None)
    _processor: Any = PrivateAttr(None)
    _names: tuple[str | None, ...] = PrivateAttr(())

    def open(self, device: str) -> None:
        """Load model and processor.

        Raises `MissingExtraError` without transformers, or without a library that this model needs;
        `UsageError` for a model that is not there, is no detector, or has no, damaged or foreign
        weights, and as `renamed` does.
        """
        try:
            from transformers import AutoModelForObjectDetection
        except ModuleNotFoundError:
            raise MissingExtraError("--prompt detr", "transformers", "hf") from None
        folder = model_folder("--detr.model", self.model)
        self._check(folder)
        asked = f"--detr.model {self.model}"
        self._processor = load_processor(folder, asked)
        model = load_network(AutoModelForObjectDetection, folder, asked, "object detector")
        self._model = model.to(device).eval().requires_grad_(False)
        said = model.config.id2label
        names = [str(said.get(i, f"class {i}")) for i in range(max(said, default=-1) + 1)]
        self._names = renamed(names, self.table, self.classes, "--detr")

    def restrict(self, names: Sequence[str]) -> None:
        """Drop all other classes; as `shared.name_tables.restricted` does."""
        self._names = restricted(self._names, names, self.table, "--detr")

    def close(self) -> None:
        """Drop the model."""
        self._model = self._processor = None

    def weight_files(self) -> Mapping[str, Path]:
        """The files of the model's weights, by their names."""
        folder = model_folder("--detr.model", self.model)
        return {path.name: path for path in weight_files(f"--detr.model {self.model}", folder)}

    def __call__(self, image: Image) -> Prompts:
        """A prompt with a box for each detection; none if nothing is found."""
        import torch

        pixels = no_strip(image.pixels)
        inputs = self._processor(
            images=pixels, input_data_format="channels_last", return_tensors="pt"
        )
        with torch.inference_mode():
            outputs = self._model(**inputs.to(self._model.device))
        (found,) = self._processor.post_process_object_detection(
            outputs, threshold=self.confidence, target_sizes=[pixels.shape[:2]]
        )
        boxes, scores, labels = (
            found[key].float().cpu().numpy() for key in ("boxes", "scores", "labels")
        )
        prompts = as_prompts(boxes, scores, labels, self._names, image.size)
        return Prompts(prompts.items[: self.most])

    def _check(self, folder: Path) -> None:
        """Refuse a folder that holds no object detector."""
        from transformers.models.auto.modeling_auto import (
            MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES,
        )

        config = folder / "config.json"
        if not config.is_file():
            raise UsageError(
                f"--detr.model {self.model} holds no config.json; give the folder that a model of "
                "transformers was saved to"
            )
        try:
            said = parsed_json(read_text(config))
            kind = said.get("model_type")
        except (ValueError, AttributeError, OSError):
            raise UsageError(
                f"--detr.model {self.model} has a config.json that cannot be read; fetch or save "
                "the model again"
            ) from None
        if kind not in MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES:
            raise UsageError(
                f"--detr.model {self.model} is a model of the type '{kind}', not an object "
                f"detector; types are {', '.join(MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES)}"
            )
        if not (folder / "preprocessor_config.json").is_file():
            raise UsageError(
                f"--detr.model {self.model} has no preprocessor_config.json, which says how "
                "pictures are prepared; add that of the model it was made from"
            )


@hookimpl
def segkit_prompters() -> Sequence[type[Prompter]]:
    """Register `detr`."""
    return [Detr]
