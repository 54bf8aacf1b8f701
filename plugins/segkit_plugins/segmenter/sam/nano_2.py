"""`nano-2`: the small SAM before `nano`, on EfficientNet-Lite0, of segment-anything's own classes.

Input 256 px, embeddings 32×32. The image encoder is a frozen EfficientNet-Lite0, whose maps at
strides 4 to 32 are summed into a pyramid, and a shallow trained stem that sees small things. The
stem's maps at strides 2 and 4 travel along, folded into channels of the one embedding tensor that
segment-anything passes around, and sharpen the decoder's borders (as the skip features of HQ-SAM,
Ke et al. 2023, and SAM 2, Ravi et al. 2024).

Each prompt also becomes a *click map* at the embedding's size: Gaussians of the positive and the
negative points, and the box's area. The decoder sees it beside the features, together with how
alike each place is to the features under the positive clicks. That makes the prompt hard to
ignore.
"""

from __future__ import annotations

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
from segkit_plugins.segmenter.sam.authors.modeling.common import LayerNorm2d
from segkit_plugins.shared.lite0 import CHANNELS, features, load_lite0

SIDE = 256
"""The input's side in pixels."""
GRID = 32
"""The embedding's side."""
DIM = 64
"""Channels of the embedding proper."""
CLICKS = 3
"""Channels of the click map: positive points, negative points, box."""
FINE = (16, 8)
"""Channels of the stem's maps at strides 4 and 2."""
SLOTS = 6
"""Tokens for points, used or not; more points get more tokens."""
SIGMA = 0.7
"""Standard deviation of a point's Gaussian, in cells of the embedding."""


def conv(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    """3×3 convolution, normalisation over channels, GELU."""
    return nn.Sequential(nn.Conv2d(inside, outside, 3, stride, 1), LayerNorm2d(outside), nn.GELU())


class Residual(nn.Module):
    """Two 3×3 convolutions beside the identity."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(dim, dim), nn.Conv2d(dim, dim, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, dim, h, w) to the same."""
        out: Tensor = x + self.body(x)
        return out


class Encoder(nn.Module):
    """Picture to embedding: (B, 3, 256, 256) normalised to (B, 64 + 64 + 128, 32, 32).

    The last 192 channels are the stem's fine maps, folded (see `unfold`).
    """

    img_size = SIDE
    backbone: Any

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        # Not a submodule: its weights come from their own package and are not saved here.
        self.__dict__["backbone"] = backbone
        self.to2 = conv(3, FINE[1], 2)
        self.to4 = conv(FINE[1], FINE[0], 2)
        self.to8 = conv(FINE[0], DIM, 2)
        self.lateral = nn.ModuleList(nn.Conv2d(c, DIM, 1) for c in CHANNELS)
        self.mix = nn.Sequential(Residual(DIM), Residual(DIM), LayerNorm2d(DIM))

    def _apply(self, fn: Any, recurse: bool = True) -> Encoder:
        """Move the backbone along, though it is no submodule."""
        self.backbone._apply(fn)
        super()._apply(fn, recurse)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """One tensor, as segment-anything expects."""
        with torch.no_grad():
            maps = features(self.backbone, x)
        half = self.to2(x)
        quarter = self.to4(half)
        total = self.to8(quarter)
        for layer, found in zip(self.lateral, maps, strict=True):
            # Projecting first keeps the resizing cheap.
            total = total + resize(layer(found), GRID)
        embedding = self.mix(total)
        return torch.cat(
            [embedding, F.pixel_unshuffle(quarter, 2), F.pixel_unshuffle(half, 4)], dim=1
        )


def resize(x: Tensor, side: int) -> Tensor:
    """Square maps to another side: averaged down, or bilinearly up."""
    if x.shape[-1] > side:
        return F.adaptive_avg_pool2d(x, side)
    return F.interpolate(x, size=(side, side), mode="bilinear", align_corners=False)


def unfold(embedding: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The embedding proper (B, 64, 32, 32) and the fine maps (B, 16, 64, 64), (B, 8, 128, 128)."""
    coarse, quarter, half = embedding.split([DIM, FINE[0] * 4, FINE[1] * 16], dim=1)
    return coarse, F.pixel_shuffle(quarter, 2), F.pixel_shuffle(half, 4)


class Prompts(PromptEncoder):
    """segment-anything's prompt encoder, whose dense embedding carries a click map as well.

    Sparse embeddings have one token for each of `SLOTS` points at least, and two for the box;
    places without a point or box hold the token "not a point". Dense embeddings have 64 + 3
    channels.
    """

    def __init__(self) -> None:
        super().__init__(DIM, (GRID, GRID), (SIDE, SIDE), 16)

    def forward(
        self,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        masks: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Sparse embeddings (B, n, 64) and dense ones (B, 67, 32, 32)."""
        count = self._get_batch_size(points, boxes, masks)
        weight = self.not_a_point_embed.weight
        coords, labels = points or (weight.new_zeros(count, 0, 2), weight.new_zeros(count, 0))
        missing = max(0, SLOTS - coords.shape[1])
        corners = weight.new_zeros(count, 2, 2) if boxes is None else boxes.reshape(-1, 2, 2)
        ends = weight.new_tensor([-1.0, -1.0] if boxes is None else [2.0, 3.0])
        return self.encode(
            torch.cat([coords.to(weight), weight.new_zeros(count, missing, 2), corners], dim=1),
            torch.cat(
                [labels.to(weight), -weight.new_ones(count, missing), ends.expand(count, -1)],
                dim=1,
            ),
            masks,
        )

    def encode(self, coords: Tensor, labels: Tensor, masks: Tensor | None) -> tuple[Tensor, Tensor]:
        """The same for points and boxes in one row: the last two places are the box's corners.

        `coords` (B, n + 2, 2) pixels of the 256 px input; `labels` (B, n + 2): 1 on the object,
        0 background, 2 and 3 the box's first and last corner, −1 nothing; `masks`
        (B, 1, 128, 128) logits or None.
        """
        sparse = self.pe_layer.forward_with_coords(coords + 0.5, self.input_image_size)
        sparse = torch.where((labels == -1)[..., None], self.not_a_point_embed.weight[0], sparse)
        for label, embedding in enumerate(self.point_embeddings):
            sparse = sparse + (labels == label)[..., None] * embedding.weight[0]
        if masks is None:
            dense = self.no_mask_embed.weight.reshape(1, -1, 1, 1)
            dense = dense.expand(len(coords), -1, GRID, GRID)
        else:
            dense = self.mask_downscaling(masks)
        return sparse, torch.cat([dense, self.clicks(coords, labels)], dim=1)

    def clicks(self, coords: Tensor, labels: Tensor) -> Tensor:
        """The click map (B, 3, 32, 32) in [0, 1] of points and box as `encode` takes them."""
        at = torch.arange(GRID, device=coords.device, dtype=coords.dtype) + 0.5
        xy = (coords + 0.5) * (GRID / SIDE)
        heat = [(-((at - xy[..., i, None]) ** 2) / (2 * SIGMA**2)).exp() for i in (0, 1)]
        blobs = heat[1][..., :, None] * heat[0][..., None, :]  # (B, n, y, x)
        points = [(blobs * (labels == label)[..., None, None]).amax(dim=1) for label in (1, 0)]
        corners = coords[:, -2:] * (GRID / SIDE)
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
        self.click_in = nn.Sequential(conv(CLICKS + 2, DIM), nn.Conv2d(DIM, DIM, 3, 1, 1))
        self.alike = nn.Conv2d(DIM, DIM, 1)
        self.fine = nn.ModuleList(
            [nn.Conv2d(FINE[0], DIM // 4, 1), nn.Conv2d(FINE[1], DIM // 8, 1)]
        )
        up: Any = self.output_upscaling
        self.refine = nn.Sequential(conv(DIM // 4, DIM // 4))
        self.output_upscaling: Any = nn.ModuleList([up[0], up[1], up[3]])

    def similarity(self, features: Tensor, clicks: Tensor) -> Tensor:
        """How alike each place is to the clicked ones: cosine, for positive points and the box.

        (B, 2, 32, 32); zero where there is no such prompt.
        """
        unit = F.normalize(self.alike(features), dim=1)
        made = []
        for channel in (0, 2):
            weight = clicks[:, channel : channel + 1]
            total = weight.sum(dim=(2, 3), keepdim=True)
            mean = (unit * weight).sum(dim=(2, 3), keepdim=True) / total.clamp(min=1e-4)
            made.append((unit * mean).sum(dim=1, keepdim=True) * (total > 1e-4))
        return torch.cat(made, dim=1)

    def see(self, embedding: Tensor, position: Tensor) -> tuple[Tensor, ...]:
        """What prompts on these embeddings share, with the positional encoding (1, 64, 32, 32).

        The embedding proper and the fine maps as the decoder adds them: (B, 64, 32, 32),
        (B, 16, 64, 64), (B, 8, 128, 128).
        """
        coarse, quarter, half = unfold(embedding)
        return position, coarse, self.fine[0](quarter), self.fine[1](half)

    def attend(
        self, seen: tuple[Tensor, ...], sparse: Tensor, dense: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The tokens' answers (B, n, 64), and the places (B, 64, 32, 32) as prompts see them."""
        count = len(sparse)
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([own.expand(count, -1, -1), sparse], dim=1)
        position, coarse = seen[:2]
        coarse = coarse.repeat_interleave(count // coarse.shape[0], dim=0)
        dense, clicks = dense.split([DIM, CLICKS], dim=1)
        found = torch.cat([clicks, self.similarity(coarse, clicks)], dim=1)
        source = coarse + dense + self.click_in(found)
        answers, source = self.transformer(source, position.expand(count, -1, -1, -1), tokens)
        return answers, source.transpose(1, 2).reshape(count, DIM, GRID, GRID)

    def quality(self, answers: Tensor) -> Tensor:
        """The expected IoU (B, 4)."""
        expected: Tensor = self.iou_prediction_head(answers[:, 0])
        return expected

    def draw(
        self, seen: tuple[Tensor, ...], answers: Tensor, places: Tensor, which: list[int]
    ) -> Tensor:
        """Logits (B, len(which), 128, 128) of these of the four masks."""
        count = len(answers)
        quarter, half = (t.repeat_interleave(count // t.shape[0], dim=0) for t in seen[2:])
        first, norm, second = self.output_upscaling
        x = F.gelu(norm(first(places) + quarter))
        x = x + self.refine(x)
        x = F.gelu(second(x) + half)
        mlps = self.output_hypernetworks_mlps
        weights = torch.stack([mlps[i](answers[:, 1 + i]) for i in which], dim=1)
        return torch.einsum("bkc,bchw->bkhw", weights, x)

    def predict_masks(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Four masks' logits (B, 4, 128, 128) and their expected IoU (B, 4)."""
        seen = self.see(image_embeddings, image_pe)
        answers, places = self.attend(seen, sparse_prompt_embeddings, dense_prompt_embeddings)
        return self.draw(seen, answers, places, [0, 1, 2, 3]), self.quality(answers)


def build() -> Sam:
    """`nano` on the pretrained backbone, with random weights of its own, on the CPU."""
    return Sam(Encoder(load_lite0()), Prompts(), Decoder())
