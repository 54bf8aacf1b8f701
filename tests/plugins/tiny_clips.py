"""CLIPs with random weights, as transformers saves them, and trained files of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers as t

from segkit.plugins.trainable import trained_bytes

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


def tokenizer() -> Any:
    """Bytes alone, as CLIP's begins: each letter is a token, and one more where a word ends."""
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(f"{letter}</w>" for letter in letters)]
    vocabulary = {word: i for i, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    return t.CLIPTokenizer(vocab=vocabulary, merges=[])


def with_texts(folder: Path) -> Any:
    """Both halves with a tokenizer; 64 tokens a text at most."""
    torch.manual_seed(3)
    words = tokenizer()
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2}
    text |= {"vocab_size": len(words), "max_position_embeddings": 64, "num_attention_heads": 2}
    text |= {"eos_token_id": words.eos_token_id, "bos_token_id": words.bos_token_id}
    config = t.CLIPConfig(text_config=text, vision_config=TINY, projection_dim=24)
    model = t.CLIPModel(config).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return model


def write(step: Any, path: Path, classes: tuple[str, ...], size: int, network: Any) -> Path:
    """A weight file of a network that the step built."""
    path.write_bytes(trained_bytes(step, network.state_dict(), classes, size))
    return path
