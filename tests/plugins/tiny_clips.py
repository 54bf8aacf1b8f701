"""CLIPs with random weights, as transformers saves them, and files as `segkit train` writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers as t

from segkit.trainable import trained_bytes

SIDE, PATCH, WIDTH = 32, 8, 32

TINY = {
    "image_size": SIDE,
    "patch_size": PATCH,
    "hidden_size": WIDTH,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def vision(folder: Path) -> Any:
    """The image half alone, tiny, saved to the folder."""
    torch.manual_seed(0)
    model = t.CLIPVisionModel(t.CLIPVisionConfig(**TINY)).eval()
    model.save_pretrained(folder)
    return model


def whole(folder: Path) -> Any:
    """Both halves, as in the hub; the image half's tensors have longer names there."""
    torch.manual_seed(1)
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "vocab_size": 50}
    config = t.CLIPConfig(text_config={**text, "num_attention_heads": 2}, vision_config=TINY)
    model = t.CLIPModel(config).eval()
    model.save_pretrained(folder)
    return model


def base(folder: Path) -> None:
    """ViT-B/32's exact configuration, the library's default, in half precision: 176 MB."""
    torch.manual_seed(2)
    config = t.CLIPVisionConfig()
    assert (config.hidden_size, config.image_size, config.patch_size) == (768, 224, 32)
    t.CLIPVisionModel(config).half().save_pretrained(folder)


def shapes_of(network: Any, names: dict[str, str], *given: Any) -> dict[str, tuple[int, ...]]:
    """The shape that each of the named parts of a network makes of these inputs."""
    found: dict[str, tuple[int, ...]] = {}

    def note(label: str) -> Any:
        return lambda module, inputs, made: found.update({label: tuple(made.shape)})

    hooks = [
        network.get_submodule(where).register_forward_hook(note(label))
        for label, where in names.items()
    ]
    found["answer"] = tuple(network(*given).shape)
    for hook in hooks:
        hook.remove()
    return found


def write(step: Any, path: Path, classes: tuple[str, ...], size: int, network: Any) -> Path:
    """A weight file of a network that the step built."""
    path.write_bytes(trained_bytes(step, network.state_dict(), classes, size))
    return path
