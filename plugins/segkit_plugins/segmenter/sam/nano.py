"""`nano`: a small SAM on a fine-tuned EfficientNet-Lite0, of segment-anything's own classes.

Input 320 px, embeddings 40×40. The image encoder is EfficientNet-Lite0, whose maps at strides 4 to
32 are summed into a pyramid with a context from the deepest two, and a shallow stem that sees small
things. Maps at strides 2 and 4 travel along, folded into channels of the one embedding tensor that
segment-anything passes around, and sharpen the decoder's borders (as the skip features of HQ-SAM,
Ke et al. 2023, and SAM 2, Ravi et al. 2024).

Each prompt also becomes a *click map* at the embedding's size: Gaussians of the positive and the
negative points, the box's area, and the coarse mask. The decoder sees it beside the features,
together with how alike each place is to the features under each of them. That makes the prompt
hard to ignore. One more layer on the embedding says of each place whether the thing that the
picture is about lies there.

It has grown from `nano-2`: what is new adds nothing at first, so that it can begin with the older
weights (`grown`) and answer as they do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segkit_plugins.segmenter.sam.authors.modeling import (
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from segkit_plugins.segmenter.sam.authors.modeling.mask_decoder import MLP
from segkit_plugins.shared.nano_encoder import (
    DIM,
    FINE,
    SIDE,
    ChannelNorm,
    bare_encoder,
    build_encoder,
    conv,
)
from segkit_plugins.shared.weights import undrawn

CLICKS = 4
"""Channels of the click map: positive points, negative points, box, mask."""
SLOTS = 6
"""Tokens for points, used or not; more points get more tokens."""
SIGMA = 0.7
"""Standard deviation of a point's Gaussian, in cells of the embedding."""


def unfold(embedding: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The embedding proper (B, 64, 40, 40) and the fine maps (B, 16, 80, 80), (B, 8, 160, 160)."""
    coarse, quarter, half = embedding.split([DIM, FINE[0] * 4, FINE[1] * 16], dim=1)
    return coarse, F.pixel_shuffle(quarter, 2), F.pixel_shuffle(half, 4)


class Prompts(PromptEncoder):
    """segment-anything's prompt encoder, whose dense embedding carries a click map as well.

    Sparse embeddings have one token for each of `SLOTS` points at least, and two for the box;
    places without a point or box hold the token "not a point". Dense embeddings have 64 + 4
    channels.
    """

    def __init__(self, side: int = SIDE) -> None:
        super().__init__(DIM, (side // 8, side // 8), (side, side), 16)

    def forward(
        self,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        masks: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Sparse embeddings (B, n, 64) and dense ones (B, 68, 40, 40)."""
        count = self._get_batch_size(points, boxes, masks)
        weight = self.not_a_point_embed.weight
        coords, labels = points or (weight.new_zeros(count, 0, 2), weight.new_zeros(count, 0))
        missing = max(0, SLOTS - coords.shape[1])
        corners = weight.new_zeros(count, 2, 2) if boxes is None else boxes.reshape(-1, 2, 2)
        ends = weight.new_tensor([-1.0, -1.0] if boxes is None else [2.0, 3.0])
        given = masks if masks is None else masks.new_ones(count, dtype=torch.bool)
        return self.encode(
            torch.cat([coords.to(weight), weight.new_zeros(count, missing, 2), corners], dim=1),
            torch.cat(
                [labels.to(weight), -weight.new_ones(count, missing), ends.expand(count, -1)],
                dim=1,
            ),
            masks,
            given,
        )

    def encode(
        self,
        coords: Tensor,
        labels: Tensor,
        masks: Tensor | None,
        given: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The same for points and boxes in one row: the last two places are the box's corners.

        `coords` (B, n + 2, 2) pixels of the 320 px input; `labels` (B, n + 2): 1 on the object,
        0 background, 2 and 3 the box's first and last corner, −1 nothing; `masks`
        (B, 1, 160, 160) logits or None, of which those count that are `given` (B,) bool.
        """
        sparse = self.pe_layer.forward_with_coords(coords + 0.5, self.input_image_size)
        sparse = torch.where((labels == -1)[..., None], self.not_a_point_embed.weight[0], sparse)
        for label, embedding in enumerate(self.point_embeddings):
            sparse = sparse + (labels == label)[..., None] * embedding.weight[0]
        dense = self.no_mask_embed.weight.reshape(1, -1, 1, 1)
        dense = dense.expand(len(coords), -1, *self.image_embedding_size)
        side = self.input_image_size[0] // 8
        coarse = dense.new_zeros(len(coords), 1, side, side)
        if masks is not None and given is not None:
            there = given[:, None, None, None]
            dense = torch.where(there, self.mask_downscaling(masks.clamp(-12, 12)), dense)
            coarse = F.avg_pool2d(masks.sigmoid(), 4) * there
        clicks = torch.cat([self.clicks(coords, labels), coarse], dim=1)
        return sparse, torch.cat([dense, clicks], dim=1)

    def clicks(self, coords: Tensor, labels: Tensor) -> Tensor:
        """The click map (B, 3, 40, 40) in [0, 1] of points and box as `encode` takes them."""
        side = self.input_image_size[0] // 8
        at = torch.arange(side, device=coords.device, dtype=coords.dtype) + 0.5
        xy = (coords + 0.5) / 8
        heat = [(-((at - xy[..., i, None]) ** 2) / (2 * SIGMA**2)).exp() for i in (0, 1)]
        blobs = heat[1][..., :, None] * heat[0][..., None, :]  # (B, n, y, x)
        points = [(blobs * (labels == label)[..., None, None]).amax(dim=1) for label in (1, 0)]
        corners = coords[:, -2:] / 8
        inside = [
            (at + 0.5 - corners[:, :1, i]).clamp(0, 1) * (corners[:, 1:, i] - at + 0.5).clamp(0, 1)
            for i in (0, 1)
        ]
        area = inside[1][:, :, None] * inside[0][:, None, :]
        area = area * (labels[:, -1] == 3)[:, None, None]
        return torch.stack([*points, area], dim=1)


class Decoder(MaskDecoder):
    """segment-anything's mask decoder, with the click map and the fine maps beside it."""

    def __init__(self) -> None:
        transformer = TwoWayTransformer(depth=2, embedding_dim=DIM, num_heads=4, mlp_dim=256)
        super().__init__(transformer_dim=DIM, transformer=transformer, iou_head_hidden_dim=128)
        self.click_in = nn.Sequential(conv(CLICKS + 3, DIM), nn.Conv2d(DIM, DIM, 3, 1, 1))
        self.alike = nn.Conv2d(DIM, DIM, 1)
        self.fine = nn.ModuleList(
            [nn.Conv2d(FINE[0], DIM // 4, 1), nn.Conv2d(FINE[1], DIM // 8, 1)]
        )
        up: Any = self.output_upscaling
        self.refine = nn.Sequential(conv(DIM // 4, DIM // 4))
        self.output_upscaling: Any = nn.ModuleList([up[0], ChannelNorm(DIM // 4), up[3]])
        self.second_thought = MLP((1 + self.num_mask_tokens) * DIM, DIM, self.num_mask_tokens, 2)
        for parameter in self.second_thought.layers[-1].parameters():
            nn.init.zeros_(parameter)

    def similarity(self, unit: Tensor, clicks: Tensor) -> Tensor:
        """How alike each place is to the asked ones: cosine, for points, the box and the mask.

        Of unit vectors (b, 64, 40, 40) and click maps (B, 4, 40, 40), B a multiple of b,
        (B, 3, 40, 40); zero where there is no such prompt.
        """
        places = unit.flatten(2)  # (b, 64, L)
        weight = clicks[:, [0, 2, 3]].flatten(2)  # (B, 3, L)
        weight = weight / weight.sum(dim=2, keepdim=True).clamp(min=1e-4)
        weight = weight.reshape(len(places), -1, places.shape[-1])  # (b, B / b · 3, L)
        found = weight @ places.transpose(1, 2) @ places
        return found.reshape(len(clicks), 3, *clicks.shape[2:])

    def see(self, embedding: Tensor, position: Tensor) -> tuple[Tensor, ...]:
        """What prompts on these embeddings share, with the positional encoding (1, 64, 40, 40).

        The embedding proper (b, 64, 40, 40), unit vectors of that shape, and the fine maps as the
        decoder adds them: (b, 16, 80, 80), (b, 8, 160, 160).
        """
        coarse, quarter, half = unfold(embedding)
        unit = F.normalize(self.alike(coarse), dim=1)
        return position, coarse, unit, self.fine[0](quarter), self.fine[1](half)

    def attend(
        self, seen: tuple[Tensor, ...], sparse: Tensor, dense: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The tokens' answers (B, n, 64), and the places (B, 64, 40, 40) as prompts see them."""
        count = len(sparse)
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([own.expand(count, -1, -1), sparse], dim=1)
        position, coarse, unit = seen[:3]
        coarse = coarse.repeat_interleave(count // len(coarse), dim=0)
        dense, clicks = dense.split([DIM, CLICKS], dim=1)
        alike = self.similarity(unit, clicks)
        asked = torch.cat([clicks[:, :3], alike[:, :2], clicks[:, 3:], alike[:, 2:]], dim=1)
        source = coarse + dense + self.click_in(asked)
        answers, source = self.transformer(source, position.expand(count, -1, -1, -1), tokens)
        return answers, source.transpose(1, 2).reshape(coarse.shape)

    def quality(self, answers: Tensor) -> Tensor:
        """The expected IoU (B, 4): of segment-anything's head, mended by what all tokens say."""
        first: Tensor = self.iou_prediction_head(answers[:, 0])
        return first + self.second_thought(answers[:, : 1 + self.num_mask_tokens].flatten(1))

    def draw(
        self, seen: tuple[Tensor, ...], answers: Tensor, places: Tensor, which: list[int]
    ) -> Tensor:
        """Logits (B, len(which), 160, 160) of these of the four masks."""
        count = len(answers)
        quarter, half = (t.repeat_interleave(count // len(t), dim=0) for t in seen[3:])
        first, norm, second = self.output_upscaling
        x = F.gelu(norm(first(places) + quarter))
        x = x + self.refine(x)
        x = F.gelu(second(x) + half)
        mlps = self.output_hypernetworks_mlps
        weights = torch.stack([mlps[i](answers[:, 1 + i]) for i in which], dim=1)
        return (weights @ x.flatten(2)).unflatten(2, x.shape[2:])

    def predict_masks(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Four masks' logits (B, 4, 160, 160) and their expected IoU (B, 4)."""
        seen = self.see(image_embeddings, image_pe)
        answers, places = self.attend(seen, sparse_prompt_embeddings, dense_prompt_embeddings)
        return self.draw(seen, answers, places, [0, 1, 2, 3]), self.quality(answers)


def build(side: int = SIDE) -> Sam:
    """`nano` on ImageNet's backbone, the rest with random weights, on the CPU.

    `side`: of the input, a multiple of 32.
    """
    return Sam(build_encoder(side), Prompts(side), Decoder())


def bare(side: int = SIDE) -> Sam:
    """`nano` before it has weights: what its tensors hold is left open."""
    with undrawn():
        return Sam(bare_encoder(side), Prompts(side), Decoder())


def grown(older: Mapping[str, Tensor], side: int = SIDE) -> Sam:
    """`nano` that answers as `nano-2` does with these weights, but for mask prompts."""
    network = build(side)
    tensors = {**network.state_dict(), **older}
    clicks = "mask_decoder.click_in.0.0.weight"
    # The mask and its likeness are the last two inputs, which the older weights lack.
    missing = CLICKS + 3 - tensors[clicks].shape[1]
    tensors[clicks] = F.pad(tensors[clicks], (0, 0, 0, 0, 0, missing))
    network.load_state_dict(tensors)
    return network
