"""`nano`'s decoder for prompts of a single point each: the same masks in a third of the time.

A grid of a thousand such prompts has much in common, and `nano`'s two-way transformer is spread
over four heads of eight channels, so that moving numbers about costs more than multiplying them.
Here

- the seven tokens that stand for prompts that are not there are equal, and stay so: one token,
  which counts seven times where it is attended to;
- of the seven click maps only the point's own and its likeness are made, the others are zero;
- projections of queries, keys, values and outputs are multiplied with each other once, and applied
  to the few tokens instead of the many places: p (W k) for (p W) k;
- places keep their channels together throughout, and shares are normalised along the places.

All of that is exact but for rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from segkit_plugins.segmenter.sam.nano import CLICKS, SIGMA, SLOTS, unfold

OWN = 5
"""Tokens of the decoder itself: the expected IoU, and four masks."""


@dataclass(frozen=True)
class Seen:
    """What one image is to all points. L places, C channels."""

    places: Tensor
    """(L, C): the embedding with what stands for "no mask"."""
    unit: Tensor
    """(L, C): unit vectors whose products say how alike two places are."""
    position: Tensor
    """(L, C): positional encoding."""
    quarter: Tensor
    """(L·4, C/4): what the fine map at stride 4 adds, the four places of a place together."""
    half: Tensor
    """(L·16, C/8): the same at stride 2."""


class FoldedAttention:
    """Of one cross attention, products of its projections. h heads, C channels, places and tokens.

    Tokens (B, n, C) become rows (B, n·h, C), one for each token and head.
    """

    def __init__(self, attention: Any, places_ask: bool) -> None:
        self.heads = heads = attention.num_heads
        q, k, v = attention.q_proj, attention.k_proj, attention.v_proj
        token, place = (k, q) if places_ask else (q, k)
        scale = math.sqrt(attention.internal_dim // heads)
        by_head = token.weight.unflatten(0, (heads, -1)) / scale  # (h, d, C)
        bias = token.bias.unflatten(0, (heads, -1)) / scale
        onto = place.weight.unflatten(0, (heads, -1))
        self.score = torch.einsum("hdc,hde->hec", by_head, onto).flatten(0, 1)
        self.score_bias = torch.einsum("hd,hde->he", bias, onto).flatten()
        # What a place's own bias adds to a score: the same for all places.
        own = place.bias.unflatten(0, (heads, -1))
        self.offset = torch.einsum("hdc,hd->hc", by_head, own)
        self.offset_bias = (bias * own).sum(dim=1)
        values = v.weight.unflatten(0, (heads, -1))  # (h, d, C)
        out = attention.out_proj.weight.unflatten(1, (heads, -1))  # (C, h, d)
        self.value = torch.einsum("hdc,ehd->hec", values, out)  # (h, C out, C in)
        self.value_bias = torch.einsum("hd,ehd->he", v.bias.unflatten(0, (heads, -1)), out)
        self.out_bias = attention.out_proj.bias

    def read(self, asking: Tensor, at: Tensor, places: Tensor) -> Tensor:
        """Tokens attend to places (B, L, C), which stand as `at` in the scores: (B, n, C)."""
        rows = F.linear(asking, self.score, self.score_bias).view(len(asking), -1, at.shape[-1])
        mean = (rows @ at.transpose(1, 2)).softmax(-1) @ places
        weight = self.value.transpose(0, 1).flatten(1)
        return F.linear(
            mean.view(*asking.shape[:2], -1), weight, self.value_bias.sum(0) + self.out_bias
        )

    def tell(
        self, asking: Tensor, tokens: Tensor, at: Tensor, places: Tensor, often: Tensor
    ) -> Tensor:
        """Places and what tokens tell them: (B, L, C). `often` (n, 1): log of tokens' counts."""
        count, n, width = tokens.shape
        rows = F.linear(asking, self.score, self.score_bias).view(count, -1, width)
        offset = F.linear(asking, self.offset, self.offset_bias) + often
        score = torch.baddbmm(offset.view(count, -1, 1), rows, at.transpose(1, 2))
        share = score.view(count, n, self.heads, -1).softmax(1).flatten(1, 2)
        # Shares of one head add to one, so that the bias may go with the first head's rows.
        bias = torch.cat([self.value_bias[:1] + self.out_bias, self.value_bias[1:]])
        told = F.linear(tokens, self.value.flatten(0, 1), bias.flatten())
        return torch.baddbmm(places, share.transpose(1, 2), told.view(count, -1, width))


class PointDecoder:
    """Stands in for a `nano`'s decoder where every prompt is one positive point."""

    def __init__(self, sam: Any) -> None:
        self.encoder, self.decoder = sam.prompt_encoder, sam.mask_decoder
        self.transformer = self.decoder.transformer
        with torch.no_grad():
            self.layers = [
                (
                    layer,
                    FoldedAttention(layer.cross_attn_token_to_image, places_ask=False),
                    FoldedAttention(layer.cross_attn_image_to_token, places_ask=True),
                )
                for layer in self.transformer.layers
            ]
            self.last = FoldedAttention(
                self.transformer.final_attn_token_to_image, places_ask=False
            )
            first = self.decoder.click_in[0][0]
            # Positive points, and how alike they are; the order is that of the decoder's `attend`.
            self.click = first.weight[:, [0, CLICKS - 1]], first.bias
            missing = SLOTS + 1  # of the points all but one, and the box's two corners
            often = torch.zeros(OWN + 2, 1, device=first.bias.device)
            often[-1] = math.log(missing)
            self.often = often

    def see(self, embedding: Tensor) -> Seen:
        """What all points on this embedding (1, C, rows, columns) share."""
        coarse, quarter, half = unfold(embedding)
        unit = F.normalize(self.decoder.alike(coarse), dim=1)
        places = coarse + self.encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
        places = places + self.decoder.click_in[1].bias.reshape(1, -1, 1, 1)
        quarter, half = (f(x) for f, x in zip(self.decoder.fine, (quarter, half), strict=True))
        first, second = self.decoder.output_upscaling[0], self.decoder.output_upscaling[2]
        quarter = quarter + first.bias.reshape(1, -1, 1, 1)
        half = half + second.bias.reshape(1, -1, 1, 1)
        position = self.encoder.get_dense_pe()
        places, unit, position = (x[0].flatten(1).T.contiguous() for x in (places, unit, position))
        return Seen(places, unit, position, folded(quarter[0], 2), folded(half[0], 2))

    def ask(
        self, points: tuple[Tensor, Tensor], boxes: None = None, masks: None = None
    ) -> tuple[Tensor, Tensor]:
        """Tokens (B, 2, C) and click maps (B, rows, columns) of points (B, 1, 2) in the input.

        Their signs are taken as positive.
        """
        encoder, at = self.encoder, points[0]
        size = encoder.input_image_size
        point = encoder.pe_layer.forward_with_coords(at + 0.5, size)
        point = point + encoder.point_embeddings[1].weight[0]
        nothing = encoder.not_a_point_embed.weight[None].expand(len(at), -1, -1)
        rows, columns = encoder.image_embedding_size
        xy = (at[:, 0] + 0.5) * columns / size[1]
        heat = [
            (-((torch.arange(n, device=at.device) + 0.5 - xy[:, i : i + 1]) ** 2)).div(2 * SIGMA**2)
            for i, n in ((0, columns), (1, rows))
        ]
        clicks = (heat[1][:, :, None] + heat[0][:, None, :]).exp()
        return torch.cat([point, nothing], dim=1), clicks

    def attend(self, seen: Seen, sparse: Tensor, clicks: Tensor) -> tuple[Tensor, Tensor]:
        """The tokens' answers (B, 7, C), and the places (B, L, C) as each point sees them."""
        own = torch.cat([self.decoder.iou_token.weight, self.decoder.mask_tokens.weight])
        asked = tokens = torch.cat([own.expand(len(sparse), -1, -1), sparse], dim=1)
        places = self._clicked(seen, clicks)
        for layer, read, tell in self.layers:
            if layer.skip_first_layer_pe:
                tokens = self._among(layer.self_attn, tokens, tokens)
            else:
                tokens = tokens + self._among(layer.self_attn, tokens + asked, tokens)
            tokens = layer.norm1(tokens)
            at = places + seen.position
            tokens = layer.norm2(tokens + read.read(tokens + asked, at, places))
            tokens = layer.norm3(tokens + layer.mlp(tokens))
            places = layer.norm4(tell.tell(tokens + asked, tokens, at, places, self.often))
        tokens = tokens + self.last.read(tokens + asked, places + seen.position, places)
        return self.transformer.norm_final_attn(tokens), places

    def quality(self, answers: Tensor) -> Tensor:
        """The expected IoU (B, 4) of the one mask for all and the three candidates."""
        found: Tensor = self.decoder.quality(answers)
        return found

    def draw(self, seen: Seen, answers: Tensor, places: Tensor, which: list[int]) -> Tensor:
        """Logits (B, len(which), 4·rows, 4·columns) of these of the four masks."""
        first, norm, second = self.decoder.output_upscaling
        rows, columns = self.encoder.image_embedding_size
        count = len(answers)
        x = places @ first.weight.permute(0, 2, 3, 1).flatten(1)  # (B, L, 2·2·16)
        x = x.view(count, *seen.quarter.shape).add_(seen.quarter)
        x = F.gelu(F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps))
        x = x.view(count, rows, columns, 2, 2, -1).transpose(2, 3)
        x = x.reshape(count, rows * 2, columns * 2, -1).permute(0, 3, 1, 2)  # channels last
        x = self.decoder.refine(x).add_(x).permute(0, 2, 3, 1).flatten(1, 2)
        x = x @ second.weight.permute(0, 2, 3, 1).flatten(1)  # (B, 4·L, 2·2·8)
        x = F.gelu(x.view(count, *seen.half.shape).add_(seen.half))
        mlps = self.decoder.output_hypernetworks_mlps
        weights = torch.stack([mlps[i](answers[:, 1 + i]) for i in which], dim=1)
        logits = weights @ x.transpose(1, 2)
        logits = logits.view(count, len(which), rows * 2, columns * 2, 2, 2)
        return logits.transpose(3, 4).reshape(count, len(which), rows * 4, columns * 4)

    def _clicked(self, seen: Seen, clicks: Tensor) -> Tensor:
        """Places (B, L, C) that know of the click and of what is like it."""
        count, rows, columns = clicks.shape
        weight = clicks.flatten(1)
        weight = weight / weight.sum(dim=1, keepdim=True).clamp(min=1e-4)
        likeness = (weight @ seen.unit) @ seen.unit.T
        x = torch.stack([clicks, likeness.view_as(clicks)], dim=1)
        x = x.contiguous(memory_format=torch.channels_last)
        (_, norm, act), second = self.decoder.click_in[0], self.decoder.click_in[1]
        x = act(norm(F.conv2d(x, *self.click, padding=1)))
        x = F.conv2d(x, second.weight, padding=1).permute(0, 2, 3, 1)
        return x.reshape(count, rows * columns, -1).add_(seen.places)

    def _among(self, attention: Any, asking: Tensor, tokens: Tensor) -> Tensor:
        """Tokens attend to each other: (B, n, C)."""
        heads = attention.num_heads
        q, k, v = (
            projection(x).unflatten(-1, (heads, -1)).transpose(1, 2)
            for projection, x in (
                (attention.q_proj, asking),
                (attention.k_proj, asking),
                (attention.v_proj, tokens),
            )
        )
        score = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + self.often[:, 0]
        mixed: Tensor = attention.out_proj((score.softmax(-1) @ v).transpose(1, 2).flatten(2))
        return mixed


def folded(x: Tensor, size: int) -> Tensor:
    """A map (C, size·h, size·w) as (h·w·size·size, C), cell by cell."""
    channels, height, width = x.shape
    x = x.view(channels, height // size, size, width // size, size)
    return x.permute(1, 3, 2, 4, 0).reshape(-1, channels)
