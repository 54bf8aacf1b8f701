"""segment-anything's image encoder with its attention worked out piece by piece.

The attention of all heads over all places (4096 × 4096 × 12 for a ViT-B) is a table of hundreds of
megabytes, which its authors make, add to twice and normalise. Here, on a processor, a few heads or
rows at a time stay in its cache; on a GPU torch's fused kernels never write the table, and get the
relative positions as the bias that they add. Equal but for rounding.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segkit_plugins.segmenter.sam.authors.modeling.image_encoder import Attention, get_rel_pos

PIECE = 1 << 22
"""Numbers of the attention table that are worked on at a time."""

FUSED = 1 << 28
"""Numbers of the bias that fused kernels are given at a time: 512 MiB of bfloat16, a ViT-H's heads
for one image."""


def quicken(encoder: nn.Module, dtype: torch.dtype, fused: bool = False) -> None:
    """Give an image encoder of ordinary make the attention below, and its matrices in `dtype`.

    `fused`: by torch's kernels (`scaled_dot_product_attention`), as is quicker on a GPU. What
    stands between the matrix products stays in float32 under autocast. Encoders of another make
    (nano's) are left as they are.
    """
    blocks: Any = getattr(encoder, "blocks", ())
    for block in blocks:
        if type(block.attn) is Attention:
            block.attn = QuickAttention(block.attn, fused)
            for part in block.modules():
                if isinstance(part, nn.Linear):
                    part.to(dtype)


class QuickAttention(nn.Module):
    """Multi-head attention with decomposed relative positions, of an `Attention`'s weights."""

    def __init__(self, attention: Any, fused: bool = False) -> None:
        super().__init__()
        self.fused = fused
        self.qkv, self.proj = attention.qkv, attention.proj
        self.heads, self.scale = attention.num_heads, attention.scale
        self.relative = attention.use_rel_pos
        if self.relative:
            self.rows, self.columns = attention.rel_pos_h, attention.rel_pos_w

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to the same."""
        count, height, width, _ = x.shape
        places = height * width
        qkv = self.qkv(x).reshape(count, places, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.reshape(3, count * self.heads, places, -1).unbind(0)
        by_row = by_column = None
        if self.relative:
            at = q.reshape(-1, height, width, q.shape[-1])
            # (heads, H, W, H) and (heads, H, W, W): what a place adds to each row and column
            rows, columns = (
                get_rel_pos(n, n, table).to(q)
                for n, table in ((height, self.rows), (width, self.columns))
            )
            by_row = torch.einsum("bhwc,hkc->bhwk", at, rows).contiguous()
            by_column = torch.einsum("bhwc,wkc->bhwk", at, columns).contiguous()
        attend = self._fused if self.fused else self._in_pieces
        made = attend(q, k, v, by_row, by_column)
        made = made.view(count, self.heads, height, width, -1).permute(0, 2, 3, 1, 4)
        found: Tensor = self.proj(made.reshape(count, height, width, -1))
        return found

    def _fused(
        self, q: Tensor, k: Tensor, v: Tensor, by_row: Tensor | None, by_column: Tensor | None
    ) -> Tensor:
        """What q, k and v (heads, places, d) of all images make, by torch's own kernels."""
        places, few = q.shape[1], len(q)
        if by_row is not None and by_column is not None:
            few = max(1, FUSED // places**2)  # heads at a time, whose bias there is room for
        made = []
        for head in range(0, len(q), few):
            some = slice(head, head + few)
            bias = None
            if by_row is not None and by_column is not None:
                bias = by_row[some, ..., None] + by_column[some, ..., None, :]
                bias = bias.view(1, -1, places, places).to(q.dtype)
            made.append(
                F.scaled_dot_product_attention(
                    q[None, some], k[None, some], v[None, some], attn_mask=bias, scale=self.scale
                )[0]
            )
        return torch.cat(made)

    def _in_pieces(
        self, q: Tensor, k: Tensor, v: Tensor, by_row: Tensor | None, by_column: Tensor | None
    ) -> Tensor:
        """The same, a few heads or rows of one at a time."""
        places = q.shape[1]
        height, width = (places, 1) if by_row is None else by_row.shape[1:3]
        k = k.transpose(1, 2)
        q = q * self.scale
        made = torch.empty_like(q)
        few = max(1, PIECE // places**2)  # heads at a time …
        strip = max(1, min(height, PIECE // (few * places * width)))  # … or rows of one
        for head in range(0, len(q), few):
            some = slice(head, head + few)
            for top in range(0, height, strip):
                part = slice(top * width, (top + strip) * width)
                if by_row is None or by_column is None:
                    score = q[some, part] @ k[some]
                else:
                    rows, columns = (t[some, top : top + strip] for t in (by_row, by_column))
                    bias = rows[..., None] + columns[..., None, :]
                    bias = bias.view(len(bias), -1, places)
                    score = torch.baddbmm(bias, q[some, part], k[some])
                made[some, part] = score.softmax(dim=-1) @ v[some]
        return made
