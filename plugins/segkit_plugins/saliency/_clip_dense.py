"""CLIP's image half made to say what each patch shows: its last block without its own attention.

In CLIP's last block the patches' tokens attend to what the class token needs, and lose their place.
Each way here changes that block alone, and needs no training.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

ATTENTIONS = ("maskclip", "sclip", "clearclip", "naclip")

RESIDUAL = ("maskclip", "sclip")
"""Those that keep the last block's residual and its MLP."""


def patch_embeddings(model: Any, pixels: Tensor, attention: str, spread: float) -> Tensor:
    """What each patch shows in CLIP's common space, of length 1: (B, D, rows, columns).

    `model`: transformers' CLIPModel; `pixels` (B, 3, h, w), normalised, sides multiples of the
    patch; `attention`: one of `ATTENTIONS`; `spread`: of naclip's Gaussian, in patches.
    """
    # Older versions of transformers keep the image half a level deeper.
    vision = getattr(model.vision_model, "vision_model", model.vision_model)
    patch = int(vision.config.patch_size)
    grid = (pixels.shape[-2] // patch, pixels.shape[-1] // patch)
    tokens = vision.embeddings(pixels, interpolate_pos_encoding=True)
    tokens = vision.pre_layrnorm(tokens)
    *before, last = vision.encoder.layers
    for block in before:
        tokens = _first(block(tokens, attention_mask=None))
    mixed = _attended(last.self_attn, last.layer_norm1(tokens), attention, grid, spread)
    if attention in RESIDUAL:
        tokens = tokens + mixed
        tokens = tokens + last.mlp(last.layer_norm2(tokens))
    else:
        tokens = mixed
    seen = model.visual_projection(vision.post_layernorm(tokens[:, 1:]))
    seen = seen / seen.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    return seen.transpose(1, 2).reshape(len(pixels), -1, *grid)


def _first(output: Any) -> Tensor:
    """A block's tokens; older versions of transformers wrap them."""
    tokens: Tensor = output[0] if isinstance(output, tuple) else output
    return tokens


def _attended(
    layer: Any, tokens: Tensor, attention: str, grid: tuple[int, int], spread: float
) -> Tensor:
    """What the last block's attention layer makes of its tokens (B, 1 + rows·columns, width)."""
    images, count, width = tokens.shape
    heads = int(layer.num_heads)

    def split(part: Any) -> Tensor:
        cut: Tensor = part(tokens).reshape(images, count, heads, -1).transpose(1, 2)
        return cut

    value = split(layer.v_proj)
    scale = (width // heads) ** -0.5

    def alike(part: Any) -> Tensor:
        own = split(part)
        return own @ own.transpose(-2, -1) * scale

    if attention == "maskclip":
        mixed = value
    elif attention == "sclip":
        weights = alike(layer.q_proj).softmax(dim=-1) + alike(layer.k_proj).softmax(dim=-1)
        mixed = weights @ value
    elif attention == "clearclip":
        mixed = alike(layer.q_proj).softmax(dim=-1) @ value
    else:
        near = torch.zeros(count, count, device=tokens.device)
        near[1:, 1:] = _neighbourhood(grid, spread).to(tokens.device)
        mixed = (alike(layer.k_proj) + near).softmax(dim=-1) @ value
    whole: Tensor = layer.out_proj(mixed.transpose(1, 2).reshape(images, count, width))
    return whole


def _neighbourhood(grid: tuple[int, int], spread: float) -> Tensor:
    """(n, n): a Gaussian of the distance between each two patches, 1 for a patch and itself."""
    rows, columns = torch.meshgrid(*(torch.arange(n).float() for n in grid), indexing="ij")
    places = torch.stack([rows.flatten(), columns.flatten()], dim=1)
    squares = ((places[:, None] - places[None]) ** 2).sum(dim=2)
    return torch.exp(-squares / (2 * spread**2))
