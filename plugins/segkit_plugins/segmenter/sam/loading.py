"""Build a SAM and fill it from a file that cannot run code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segkit import UsageError
from segkit_plugins.shared.weights import fill, load_torch, undrawn

WIDTHS = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}
"""Width of the image encoder's tokens to the model, to tell checkpoints apart."""


def load(step: str, model: str, path: Path) -> Any:
    """The `segment_anything` model with these weights, on the CPU; `step` asks for it.

    Raises `UsageError` if the file is missing, truncated, a pickle that would run code, or of
    another model (naming that one where its shape tells).
    """
    tensors = load_torch(path)
    found = _looks_like(tensors)
    if found not in (None, model):
        raise UsageError(
            f"--{step}.model {model} was asked for, but the weights {path} are of {found}; "
            f"use --{step}.model {found} or another file"
        )
    if model == "nano":
        from segkit_plugins.segmenter.sam import nano

        network: Any = nano.bare()
    elif model == "nano-2":
        from segkit_plugins.segmenter.sam import nano_2

        network = nano_2.build()
    else:
        from segkit_plugins.segmenter.sam.authors.build_sam import sam_model_registry

        # Without a checkpoint the builder only builds; its own loading would unpickle anything.
        with undrawn():
            network = sam_model_registry[model](checkpoint=None)
    fill(network, tensors, path, f"SAM's {model}")
    return network


def _looks_like(tensors: dict[str, Any]) -> str | None:
    """The model that these weights are of, if one knows."""
    position = tensors.get("image_encoder.pos_embed")
    if position is not None:
        return WIDTHS.get(position.shape[-1])
    if "image_encoder.backbone.stem.weight" in tensors:
        return "nano"
    return "nano-2" if "image_encoder.to2.0.weight" in tensors else None
