"""segment-anything's mask decoder in another order: the same masks in a third of the time.

The decoder attends back and forth between a few tokens and thousands of places of the image. Its
authors copy the image for each prompt and project every place to queries, keys and values. Here

- what does not depend on the prompt (the first layer's projections of the image) is worked out
  once for all prompts;
- afterwards projections are applied to the few tokens instead of the many places:
  (x W) k = x (W k), and for values (a x) W = a (x W);
- the upscaling, two transposed convolutions whose strides are their sizes, is two matrix products
  over places, which keeps channels together and needs no transposing;
- masks that nobody asks for are not made.

All of that is exact but for rounding. In bfloat16 it rounds more, and is faster where the
processor multiplies bfloat16.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from segkit_plugins.segmenter.sam.authors.modeling import MaskDecoder


@dataclass(frozen=True)
class Seen:
    """What images are to all prompts: b of them, one for all prompts or one for each.

    L places, C channels, h heads of d channels.
    """

    embedding: Tensor
    """(b, C, rows, columns)."""
    places: Tensor
    """(b, L, C): embedding of the places, with what stands for "no mask"."""
    position_of: Tensor
    """(L, C): their positional encoding."""
    keys: Tensor
    """(b, h, L, d): the first layer's keys from the image."""
    values: Tensor
    """(b, h, L, d): its values."""
    queries: Tensor
    """(b, h, L, d): its queries from the image."""


def decoder_of(sam: Any, dtype: torch.dtype) -> QuickDecoder | OwnDecoder:
    """The quickest decoder for this model, in `dtype` if it may.

    Its methods: `see`, `pick`, `ask`, `attend`, `quality`, `draw`.
    """
    ordinary = type(sam.mask_decoder) is MaskDecoder
    return QuickDecoder(sam, dtype) if ordinary else OwnDecoder(sam)


def point_decoder_of(sam: Any, decoder: Any) -> Any:
    """The quickest decoder for prompts of a single positive point each; else this one."""
    from segkit_plugins.segmenter.sam import nano, nano_points

    return nano_points.PointDecoder(sam) if type(sam.mask_decoder) is nano.Decoder else decoder


class OwnDecoder:
    """The decoder of a `nano`, which is small as it is, step by step and in float32."""

    def __init__(self, sam: Any) -> None:
        self.encoder, self.decoder = sam.prompt_encoder, sam.mask_decoder

    def see(self, embedding: Tensor) -> Any:
        """What all prompts on these embeddings (b, C, rows, columns) share."""
        return self.decoder.see(embedding, self.encoder.get_dense_pe())

    def pick(self, seen: Any, images: Sequence[int]) -> Any:
        """Of what several images are, that of the image of each prompt, for `attend` and `draw`."""
        position, *of_images = seen
        which = _which(images, len(of_images[0]))
        return seen if which is None else (position, *(t[which] for t in of_images))

    def ask(
        self, points: tuple[Tensor, Tensor] | None, boxes: Tensor | None, masks: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Prompts as `attend` takes them: places (B, n, 2) and signs, boxes (B, 4), logits."""
        sparse, dense = self.encoder(points=points, boxes=boxes, masks=masks)
        return sparse, dense

    def attend(self, seen: Any, sparse: Tensor, dense: Tensor) -> tuple[Tensor, Tensor]:
        """The tokens' answers (B, n, C) and the places as each prompt sees them."""
        found: tuple[Tensor, Tensor] = self.decoder.attend(seen, sparse, dense)
        return found

    def quality(self, answers: Tensor) -> Tensor:
        """The expected IoU (B, 4) of the one mask for all and the three candidates."""
        found: Tensor = self.decoder.quality(answers)
        return found

    def draw(self, seen: Any, answers: Tensor, places: Tensor, which: list[int]) -> Tensor:
        """Logits (B, len(which), low, low) of these of the four masks."""
        found: Tensor = self.decoder.draw(seen, answers, places, which)
        return found


class QuickDecoder:
    """Stands in for a `segment_anything` `MaskDecoder` of ordinary make, in `dtype`."""

    def __init__(self, sam: Any, dtype: torch.dtype) -> None:
        self.encoder, self.decoder, self.dtype = sam.prompt_encoder, sam.mask_decoder, dtype
        self.transformer = self.decoder.transformer
        self._kept: dict[int, Tensor] = {}

    def see(self, embedding: Tensor) -> Seen:
        """What all prompts on these embeddings (b, C, rows, columns) share."""
        position = self.encoder.get_dense_pe()
        no_mask = self.encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
        places = (embedding + no_mask).flatten(2).transpose(1, 2)
        position_of = position[0].flatten(1).T
        first = self.transformer.layers[0]
        to_image, to_token = first.cross_attn_token_to_image, first.cross_attn_image_to_token
        at = places + position_of
        shared = (
            _heads(to_image.k_proj(at), to_image.num_heads),
            _heads(to_image.v_proj(places), to_image.num_heads),
            _heads(to_token.q_proj(at), to_token.num_heads),
        )
        rounded = [t.to(self.dtype).contiguous() for t in (places, position_of, *shared)]
        return Seen(embedding, *rounded)

    def pick(self, seen: Seen, images: Sequence[int]) -> Seen:
        """Of what several images are, that of the image of each prompt, for `attend`."""
        which = _which(images, len(seen.embedding))
        if which is None:
            return seen
        embedding, places, keys, values, queries = (
            t[which] for t in (seen.embedding, seen.places, seen.keys, seen.values, seen.queries)
        )
        return Seen(embedding, places, seen.position_of, keys, values, queries)

    def ask(
        self, points: tuple[Tensor, Tensor] | None, boxes: Tensor | None, masks: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Prompts as `attend` takes them: places (B, n, 2) and signs, boxes (B, 4), logits."""
        sparse, dense = self.encoder(points=points, boxes=boxes, masks=masks)
        return sparse, None if masks is None else dense

    def attend(self, seen: Seen, sparse: Tensor, dense: Tensor | None) -> tuple[Tensor, Tensor]:
        """The tokens' answers (B, n, C) and the places (B, L, C) as each prompt sees them.

        `sparse` (B, m, C) tokens of the prompts; `dense` (B, C, rows, columns) of their masks, None
        where they have none.
        """
        own = torch.cat([self.decoder.iou_token.weight, self.decoder.mask_tokens.weight])
        asked = torch.cat([own.expand(len(sparse), -1, -1), sparse], dim=1)
        tokens = asked
        if dense is None:
            places, shared = seen.places, True
        else:
            places = (seen.embedding + dense).flatten(2).transpose(1, 2).to(self.dtype)
            shared = False
        for layer in self.transformer.layers:
            known = seen if shared else None
            at = places if shared else places + seen.position_of
            if layer.skip_first_layer_pe:
                tokens = layer.self_attn(q=tokens, k=tokens, v=tokens)
            else:
                with_place = tokens + asked
                tokens = tokens + layer.self_attn(q=with_place, k=with_place, v=tokens)
            tokens = layer.norm1(tokens)
            read = self._read(layer.cross_attn_token_to_image, tokens + asked, places, at, known)
            tokens = layer.norm2(tokens + read)
            tokens = layer.norm3(tokens + layer.mlp(tokens))
            told = self._tell(layer.cross_attn_image_to_token, tokens + asked, tokens, at, known)
            norm = layer.norm4
            places = F.layer_norm(
                told.add_(places), norm.normalized_shape, *self._like(norm), norm.eps
            )
            shared = False
        last = self.transformer
        tokens = tokens + self._read(
            last.final_attn_token_to_image, tokens + asked, places, places + seen.position_of
        )
        return last.norm_final_attn(tokens), places

    def quality(self, answers: Tensor) -> Tensor:
        """The expected IoU (B, 4) of the one mask for all and the three candidates."""
        found: Tensor = self.decoder.iou_prediction_head(answers[:, 0])
        return found

    def draw(self, seen: Seen, answers: Tensor, places: Tensor, which: list[int]) -> Tensor:
        """Logits (B, len(which), 4·rows, 4·columns) of these of the four masks, as float32."""
        mlps = self.decoder.output_hypernetworks_mlps
        weights = torch.stack([mlps[i](answers[:, 1 + i]) for i in which], dim=2)
        first, norm, act, second, act_again = self.decoder.output_upscaling
        side = self.decoder.output_upscaling[0].stride[0]
        count, (rows, columns) = len(answers), self.encoder.image_embedding_size
        x = self._spread(first, places)  # (B, L, 2·2, C/4)
        x = F.layer_norm(x, x.shape[-1:], *self._like(norm), norm.eps)
        x = act_again(self._spread(second, act(x)))  # (B, L, 2·2, 2·2, C/8)
        logits = x.flatten(1, 3) @ weights.to(self.dtype)
        logits = logits.view(count, rows, columns, side, side, side, side, len(which))
        logits = logits.permute(0, 7, 1, 3, 5, 2, 4, 6)
        return logits.reshape(count, len(which), rows * side**2, columns * side**2).float()

    def _read(
        self, attention: Any, asking: Tensor, places: Tensor, at: Tensor, seen: Seen | None = None
    ) -> Tensor:
        """Tokens attend to places: (B, n, C). `at`: the places with their positions."""
        heads = attention.num_heads
        queries = _heads(attention.q_proj(asking), heads)  # (B, h, n, d)
        count, _, _, width = queries.shape
        queries = queries / width**0.5
        if seen is not None:
            if len(seen.keys) == 1:
                # (h, B·n, d) against (h, d, L): one product for all prompts
                flat = queries.to(self.dtype).transpose(0, 1).flatten(1, 2)
                share = (flat @ seen.keys[0].transpose(1, 2)).softmax(-1)
                read = _split(share @ seen.values[0], 1, count).permute(1, 2, 0, 3)
            else:
                share = (queries.to(self.dtype) @ seen.keys.transpose(2, 3)).softmax(-1)
                read = (share @ seen.values).transpose(1, 2)  # (B, n, h, d)
            found: Tensor = attention.out_proj(read.flatten(2).float())
            return found
        # The keys' bias adds the same to all places, which softmax does not see.
        weight = _split(attention.k_proj.weight, 0, heads)
        wanted = torch.einsum("bhnd,hdc->bhnc", queries, weight).flatten(1, 2).to(self.dtype)
        share = _products(wanted, at.transpose(1, 2)).softmax(-1)
        mean = _split(_products(share, places).float(), 1, heads)  # (B, h, n, C)
        weight = _split(attention.v_proj.weight, 0, heads)
        read = torch.einsum("bhnc,hdc->bnhd", mean, weight).flatten(2) + attention.v_proj.bias
        found = attention.out_proj(read)
        return found

    def _tell(
        self,
        attention: Any,
        asking: Tensor,
        tokens: Tensor,
        at: Tensor,
        seen: Seen | None = None,
    ) -> Tensor:
        """Places attend to tokens: (B, L, C). `at`: the places with their positions."""
        heads = attention.num_heads
        keys = _heads(attention.k_proj(asking), heads)  # (B, h, n, d)
        count, _, n, width = keys.shape
        keys = keys / width**0.5
        if seen is not None and len(seen.queries) == 1:
            flat = keys.to(self.dtype).transpose(0, 1).flatten(1, 2)
            score = _split(flat @ seen.queries[0].transpose(1, 2), 1, count)
            score = score.transpose(0, 1)  # (B, h, n, L)
        elif seen is not None:
            score = keys.to(self.dtype) @ seen.queries.transpose(2, 3)
        else:
            weight = _split(attention.q_proj.weight, 0, heads)
            wanted = torch.einsum("bhnd,hdc->bhnc", keys, weight).flatten(1, 2).to(self.dtype)
            score = _products(wanted, at.transpose(1, 2))
            bias = _split(attention.q_proj.bias, 0, heads)
            score += torch.einsum("bhnd,hd->bhn", keys, bias).flatten(1)[..., None].to(self.dtype)
            score = _split(score, 1, heads)
        share = score.softmax(2)
        values = _heads(attention.v_proj(tokens), heads)  # (B, h, n, d)
        weight = _split(attention.out_proj.weight, 1, heads)
        made = torch.einsum("bhnd,chd->bhnc", values, weight).flatten(1, 2)
        # Shares of one head add to one, so that the bias may go with the first head's tokens.
        made[:, :n] += attention.out_proj.bias
        return _products(share.flatten(1, 2).transpose(1, 2), made.to(self.dtype))

    def _spread(self, layer: Any, x: Tensor) -> Tensor:
        """A transposed convolution whose stride is its size: (…, C) to (…, size·size, D)."""
        weight = self._same(layer.weight).permute(2, 3, 1, 0)  # (size, size, D, C)
        size = weight.shape[0] * weight.shape[1]
        bias = self._same(layer.bias).repeat(size)
        return _split(F.linear(x, weight.flatten(0, 2), bias), -1, size)

    def _like(self, norm: Any) -> tuple[Tensor, Tensor]:
        return self._same(norm.weight), self._same(norm.bias)

    def _same(self, weight: Tensor) -> Tensor:
        """A weight in the decoder's dtype; converted once."""
        found = self._kept.get(id(weight))
        if found is None:
            found = self._kept[id(weight)] = weight.detach().to(self.dtype)
        return found


def _which(images: Sequence[int], count: int) -> slice | list[int] | None:
    """Which of `count` images to take for prompts on these; None: all, as they are."""
    if count == 1 or [*images] == [*range(count)]:
        return None
    if len(set(images)) == 1:
        return slice(images[0], images[0] + 1)  # one for all
    return [*images]


def _products(left: Tensor, right: Tensor) -> Tensor:
    """Products of matrices (B, n, m) and (B, m, k), or k of one for all B: (B, n, k).

    On a processor one by one: a batch of them would copy what is transposed.
    """
    if left.device.type != "cpu":
        return left @ right
    right = right.expand(len(left), -1, -1)
    return torch.stack([a @ b for a, b in zip(left, right, strict=True)])


def _heads(x: Tensor, heads: int) -> Tensor:
    """(…, n, h·d) to (…, h, n, d)."""
    return _split(x, -1, heads).transpose(-3, -2)


def _split(x: Tensor, axis: int, parts: int) -> Tensor:
    """One axis as two, the first of `parts`."""
    axis %= x.dim()
    return x.reshape(*x.shape[:axis], parts, -1, *x.shape[axis + 1 :])
