"""Find a model's folder, and load what is in it: tensors alone, nothing that runs, no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from segkit import MissingExtraError, UsageError
from segkit_plugins.shared.hub import from_folder, model_folder
from segkit_plugins.shared.hub_models import load_network, read_settings
from segkit_plugins.shared.sentences import first_line

OPTION = "--hf-sam.model"

PROCESSORS = ("preprocessor_config.json", "processor_config.json")
"""Where a folder says how images are made ready for the model."""


def load(model: str) -> tuple[Any, Any]:
    """The network (float32, on the CPU) and its image processor.

    A folder without the processor's settings gets those of its kind of model. Raises `UsageError`
    if the folder or its files cannot be used, `MissingExtraError` where a library lacks.
    """
    try:
        import transformers
    except ModuleNotFoundError:
        raise MissingExtraError("--segmenter hf-sam", "transformers", "hf") from None
    folder = model_folder(OPTION, model)
    kind = _kind(folder)
    network = load_network(
        transformers.AutoModelForMaskGeneration, folder, f"{OPTION} {model}", kind
    )
    return network, _processor(folder, kind, network.config)


def _kind(folder: Path) -> str:
    """The folder's `model_type`, if it is one for masks of prompts."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_MASK_GENERATION_MAPPING_NAMES as KINDS,
    )

    if not (folder / "config.json").is_file():
        raise UsageError(
            f"{OPTION} {folder} has no config.json; give a folder as save_pretrained writes it"
        )
    kind = read_settings(folder / "config.json").get("model_type")
    if kind not in KINDS:
        words = ", for this one answers words alone and has no tracker for clicks"
        hint = words if kind in ("sam3", "sam3_lite_text") else ""
        raise UsageError(
            f"{OPTION} {folder} is of type {kind}, and hf-sam takes {', '.join(sorted(KINDS))}; "
            f"choose another model{hint}"
        )
    return str(kind)


def _processor(folder: Path, kind: str, config: Any) -> Any:
    """What makes images ready, as the folder says, or as is usual for its kind of model."""
    import transformers

    side = int(np.max(config.prompt_encoder_config.image_size))
    square = {"height": side, "width": side}
    if any((folder / name).is_file() for name in PROCESSORS):
        asked = f"the image processor in {folder}"
        usual = f"remove {' and '.join(PROCESSORS)} to use the usual settings"
        try:
            found = from_folder(transformers.AutoImageProcessor, folder, asked, usual)
        except UsageError:
            raise
        except Exception as error:
            raise UsageError(
                f"{asked} cannot be loaded ({first_line(error)}); fetch the model again, or {usual}"
            ) from None
        made = {found.size.get(key) for key in ("height", "width", "longest_edge")} - {None}
        if made != {side}:
            raise UsageError(
                f"{asked} makes images of {_listed(made)} px, and its "
                f"config.json wants {side} px; make them agree"
            )
        return found
    if kind in ("sam", "sam_hq"):
        return transformers.SamImageProcessor(size={"longest_edge": side}, pad_size=square)
    if kind.startswith("sam3"):
        return transformers.Sam3ImageProcessor(size=square)
    return transformers.Sam2ImageProcessor(size=square)


def _listed(numbers: set[int]) -> str:
    return " and ".join(map(str, sorted(numbers)))
