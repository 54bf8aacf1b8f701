"""Find a model's folder, and load what is in it: tensors alone, nothing that runs, no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from segkit import MissingExtraError, UsageError
from segkit_plugins.shared.hub import from_folder, model_folder
from segkit_plugins.shared.sentences import first_line

OPTION = "--hf-sam.model"

WEIGHTS = "model.safetensors"
"""The file that `save_pretrained` writes; large models have an index and several files."""

PROCESSORS = ("preprocessor_config.json", "processor_config.json")
"""Where a folder says how images are made ready for the model."""


def weights_of(folder: Path) -> tuple[Path, ...]:
    """The safetensors files of a model folder, one or several.

    Raises `UsageError` if there is none, or one of several is missing.
    """
    if (folder / WEIGHTS).is_file():
        return (folder / WEIGHTS,)
    index = folder / f"{WEIGHTS}.index.json"
    if index.is_file():
        parts = sorted(set(_json(index).get("weight_map", {}).values()))
        missing = [part for part in parts if not (folder / part).is_file()]
        if missing or not parts:
            raise UsageError(
                f"{OPTION} {folder} lacks {missing[0] if missing else 'the files'} that its "
                f"{index.name} names; copy or fetch the whole folder again"
            )
        return tuple(folder / part for part in parts)
    if other := sorted(p.name for s in ("*.bin", "*.pth", "*.pt") for p in folder.glob(s)):
        raise UsageError(
            f"{OPTION} {folder} has its weights as {other[0]}, which is not opened, for that could "
            f"run code; save the model as {WEIGHTS} (save_pretrained does)"
        )
    raise UsageError(
        f"{OPTION} {folder} has no weights ({WEIGHTS}); give a folder as save_pretrained writes it"
    )


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
    _check_readable(weights_of(folder))
    try:
        network, report = from_folder(
            transformers.AutoModelForMaskGeneration,
            folder,
            f"{OPTION} {folder}",
            dtype="float32",
            use_safetensors=True,
            output_loading_info=True,
        )
    except UsageError:
        raise
    except ImportError:  # EdgeTAM's backbone
        raise MissingExtraError(f"{OPTION} of {kind}", "timm", "timm") from None
    except Exception as error:
        # Settings that make no model, or tensors of other shapes: each its own kind of error.
        raise UsageError(
            f"{OPTION} {folder} cannot be loaded as {kind} ({first_line(error)}); its "
            "config.json and its weights do not belong together, or it is damaged"
        ) from None
    if lacking := sorted(report["missing_keys"]):
        raise UsageError(
            f"{OPTION} {folder} is not a whole {kind}: its weights lack {len(lacking)} "
            f"tensors, such as {lacking[0]}; choose another folder"
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
    kind = _json(folder / "config.json").get("model_type")
    if kind not in KINDS:
        words = ", for this one answers words alone and has no tracker for clicks"
        hint = words if kind in ("sam3", "sam3_lite_text") else ""
        raise UsageError(
            f"{OPTION} {folder} is of type {kind}, and hf-sam takes {', '.join(sorted(KINDS))}; "
            f"choose another model{hint}"
        )
    return str(kind)


def _json(path: Path) -> dict[str, Any]:
    """The settings in a file. Raises `UsageError` if they are none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} cannot be read ({first_line(error)}); fetch the model again"
        ) from None
    if not isinstance(found, dict):
        raise UsageError(f"{path} holds no settings; fetch the model again")
    return found


def _check_readable(files: tuple[Path, ...]) -> None:
    """Raises `UsageError` for a file that is truncated or no safetensors file."""
    from safetensors import SafetensorError, safe_open

    for path in files:
        try:
            with safe_open(path, "pt"):
                pass
        except (SafetensorError, OSError, ValueError) as error:
            raise UsageError(
                f"the weights {path} cannot be read as safetensors ({first_line(error)}); the "
                "file is damaged or of another kind: fetch it again"
            ) from None


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
