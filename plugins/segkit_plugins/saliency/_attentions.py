"""Vision transformers looked into: each block's attention, its tokens, and a score of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from segkit_plugins.saliency._attended import Attended
from segkit_plugins.saliency._tables import Grouped


class KeptAttention(TorchFunctionMode):
    """Within this context self-attention is worked out step by step; its parts are kept.

    Gradients with respect to the weights can be asked for: the network's parameters are frozen, so
    those of the first call are where its graph begins.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[Tensor] = []
        """(B, heads, n, n), one for each call in the order of the calls."""
        self.keys: list[Tensor] = []
        """(B, heads, n, d), likewise."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention:
            return self._attend(*args, **kwargs or {})
        if func is F.multi_head_attention_forward:
            return self._heads(*args, **kwargs or {}), None
        return func(*args, **kwargs or {})

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        **_: Any,
    ) -> Tensor:
        """What torch's function of that name gives, (B, heads, n, d), without dropout."""
        likeness = query @ key.transpose(-2, -1) * (scale or query.shape[-1] ** -0.5)
        if is_causal:
            attn_mask = torch.ones(likeness.shape[-2:], dtype=torch.bool).tril()
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            likeness = likeness.masked_fill(~attn_mask.to(likeness.device), -math.inf)
        elif attn_mask is not None:
            likeness = likeness + attn_mask
        weights = likeness.softmax(dim=-1)
        if not weights.requires_grad:
            weights.requires_grad_()
        self.weights.append(weights)
        self.keys.append(key)
        return weights @ value

    def _heads(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        width: int,
        heads: int,
        in_weight: Tensor,
        in_bias: Tensor | None,
        bias_k: Tensor | None,
        bias_v: Tensor | None,
        add_zero_attn: bool,
        dropout_p: float,
        out_weight: Tensor,
        out_bias: Tensor | None,
        **_: Any,
    ) -> Tensor:
        """Multi-head self-attention of tokens (n, B, width), as `nn.MultiheadAttention` has it."""
        count, images, _width = query.shape
        parts = F.linear(query, in_weight, in_bias).chunk(3, dim=-1)
        q, k, v = (part.reshape(count, images, heads, -1).permute(1, 2, 0, 3) for part in parts)
        mixed = self._attend(q, k, v).permute(2, 0, 1, 3).reshape(count, images, width)
        return F.linear(mixed, out_weight, out_bias)


@dataclass(frozen=True)
class Transformer:
    """The parts of a vision transformer."""

    network: nn.Module
    blocks: tuple[nn.Module, ...]
    classify: Callable[[Tensor], Tensor]
    together: Callable[[Tensor], Tensor] | None
    """What is made of the network's scores, where it is asked for other classes than its own."""
    read: slice

    def attend(self, pixels: Tensor, gradients: bool = True) -> Attended:
        """What it makes of pixels (B, 3, S, S).

        Without `gradients` none can be asked for, which saves memory. Raises `LookupError` where
        there is not one attention over all tokens for each block.
        """
        tokens: list[Tensor] = []
        kept = KeptAttention()

        def note(_: nn.Module, __: Any, output: Any) -> None:
            tokens.append(output)

        with ExitStack() as hooks, torch.set_grad_enabled(gradients):
            for block in self.blocks:
                handle = block.register_forward_hook(note)
                hooks.callback(handle.remove)
            with kept:
                scores = self.network(pixels)
            scores = scores if self.together is None else self.together(scores)
        pairs = zip(kept.weights, tokens, strict=False)
        whole = all(
            w.dim() == 4 and w.shape[0] == len(t) and w.shape[-1] == t.shape[1] for w, t in pairs
        )
        if not whole or not len(kept.weights) == len(tokens) == len(self.blocks):
            raise LookupError("its blocks do not attend to all tokens of the picture")
        return Attended(kept.weights, kept.keys, tokens, scores, self.classify, self.read)


def transformer_of(network: nn.Module) -> Transformer:
    """The parts of a network of timm or torchvision. Raises `LookupError` with what is missing."""
    together = network.together if isinstance(network, Grouped) else None
    own: Any = network.network if isinstance(network, Grouped) else network
    if isinstance(getattr(own, "encoder", None), nn.Module) and hasattr(own, "heads"):
        blocks, norms, head = getattr(own.encoder, "layers", ()), [own.encoder.ln], own.heads
        read = slice(0, 1)
    elif hasattr(own, "blocks") and hasattr(own, "norm") and hasattr(own, "head"):
        if getattr(own, "attn_pool", None) is not None or hasattr(own, "head_dist"):
            raise LookupError("its score is not that of one mean token")
        blocks, norms, head = own.blocks, [own.norm, getattr(own, "fc_norm", None)], own.head
        patches = slice(getattr(own, "num_prefix_tokens", 1), None)
        read = patches if getattr(own, "global_pool", "token") == "avg" else slice(0, 1)
    else:
        raise LookupError("it has no blocks of attention with a head behind them")
    for module in own.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = True  # in one call, which can be seen

    def classify(token: Tensor) -> Tensor:
        for norm in norms:
            token = token if norm is None else norm(token)
        scores: Tensor = head(token)
        return scores if together is None else together(scores)

    return Transformer(own, tuple(blocks), classify, together, read)
