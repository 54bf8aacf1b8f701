"""CLIP's image half on the disk: a folder or a fetched name, its settings, its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from segkit import MissingExtraError, UsageError
from segkit_plugins.shared.hub import model_folder, quiet
from segkit_plugins.shared.hub_models import weight_files
from segkit_plugins.shared.reading import parsed_json, read_text
from segkit_plugins.shared.sentences import first_line
from segkit_plugins.shared.weights import load_torch

if TYPE_CHECKING:
    from torch import Tensor, nn

ClipSettings = dict[str, Any]
"""What config.json says of CLIP's image half, as far as its answer depends on it."""

SETTINGS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_channels",
    "image_size",
    "patch_size",
    "hidden_act",
    "layer_norm_eps",
    "attention_dropout",
)
"""Those. Files have many more, of text and of older versions of transformers."""

DEFAULT = "openai/clip-vit-base-patch32"
"""The CLIP of the source report, by its name in the hub."""

BEGINS = "vision_model."
"""What the names of the image half's tensors begin with in a file of the whole CLIP."""


def clip_settings(option: str, model: str) -> ClipSettings:
    """The settings of the image half, out of config.json.

    Raises `UsageError` if there are none, or they are of another type of model.
    """
    path = model_folder(option, model) / "config.json"
    if not path.is_file():
        raise UsageError(
            f"{option} {model} has no config.json; give a folder as save_pretrained writes it"
        )
    try:
        config = parsed_json(read_text(path))
        kind = config.get("model_type")
    except (OSError, ValueError, AttributeError):
        raise UsageError(
            f"{option} {model} has a config.json that cannot be read; fetch or save it again"
        ) from None
    if kind == "clip":
        config = config.get("vision_config") or {}
    elif kind != "clip_vision_model":
        raise UsageError(
            f"{option} {model} is of type {kind}, and a CLIP (clip or clip_vision_model) is "
            "wanted; choose another model"
        )
    return {key: config[key] for key in SETTINGS if key in config}


def clip_vision(what: str, settings: Mapping[str, Any]) -> nn.Module:
    """CLIP's image half of these settings with random weights, float32.

    `what` asks for it, as in '--clip-decoder.model x'. Raises `UsageError` for settings that make
    no model, `MissingExtraError` without transformers.
    """
    try:
        from transformers import CLIPVisionConfig, CLIPVisionModel
    except ModuleNotFoundError:
        raise MissingExtraError(what, "transformers", "hf") from None
    try:
        with quiet():
            config = CLIPVisionConfig.from_dict(dict(settings))
            config.dtype = "float32"
            model: Any = CLIPVisionModel(config)
    except Exception as error:  # what settings can do to the library has no class in common
        raise UsageError(
            f"{what} has settings that make no CLIP ({first_line(error)}); fetch or save it again"
        ) from None
    return model


def load_clip(option: str, model: str) -> tuple[nn.Module, ClipSettings]:
    """CLIP's image half with its weights, float32, on the CPU; and its settings.

    Raises `UsageError` where the model is not there, is none, or its weights are damaged or do not
    belong to it; `MissingExtraError` without transformers.
    """
    settings = clip_settings(option, model)
    files = weight_files(f"{option} {model}", model_folder(option, model))
    network = clip_vision(f"{option} {model}", settings)
    tensors = image_half({k: v for path in files for k, v in load_torch(path).items()})
    wanted = image_half(network.state_dict())
    unfit = sorted(k for k, v in wanted.items() if k not in tensors or tensors[k].shape != v.shape)
    if unfit:
        raise UsageError(
            f"{option} {model} is no whole CLIP: of its image half {len(unfit)} weights are "
            f"missing or of another shape, such as {unfit[0]}; choose another model"
        )
    import torch

    with torch.no_grad():
        for key, tensor in wanted.items():  # they share the network's memory
            tensor.copy_(tensors[key])
    return network, settings


def split(
    settings: Mapping[str, Any], owner: str, name: str
) -> tuple[dict[str, Any], ClipSettings]:
    """The options and CLIP's settings, out of a trained file's settings.

    Raises `UsageError` if CLIP's are not there; `owner` is the file and `name` the segmenter.
    """
    options = dict(settings)
    clip = options.pop("clip", None)
    if not isinstance(clip, Mapping):
        raise UsageError(
            f"{owner} do not say which CLIP they are of; they were made by another version of "
            f"{name}: train again"
        )
    return options, dict(clip)


def image_half(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The image half's tensors without the beginning that some versions put before the names.

    Text half and projections are left out, and so is what is no weight (position numbers).
    """
    if any(key.startswith(BEGINS) for key in tensors):
        tensors = {k.removeprefix(BEGINS): v for k, v in tensors.items() if k.startswith(BEGINS)}
    return {k: v for k, v in tensors.items() if not k.endswith("position_ids")}
