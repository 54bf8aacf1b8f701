"""CLIP asked by a click: the mask of what lies under a point."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr

from segkit import (
    Image,
    Masks,
    Prompt,
    Prompts,
    Segmenter,
    Trainable,
    UsageError,
    hookimpl,
    squeezed,
)
from segkit_plugins.segmenter._clip import DEFAULT, ClipSettings
from segkit_plugins.segmenter._prompted import Answer, Frame, gathered

if TYPE_CHECKING:
    from torch import Tensor, nn

    from segkit import Examples

CHUNK = 32
"""Points that are asked at a time; bounds memory."""

SURELY_NOT = -10.0
"""The logit of what a box shuts out."""


class PointClip(Trainable):
    """What lies under a point, by CLIP (Radford et al. 2021): the image and the click both go in.

    The click is drawn as a small Gaussian, and goes through the same CLIP as the image does; the
    patch tokens of both are concatenated (1536×7×7 for ViT-B/32) and go through a U-Net's decoder
    without skips. It answers with the object that the point lies on, or with the background. Train
    it first: segkit train point-clip --dataset D -o FILE, on one random point in an object and one
    in the background of each image. The file holds CLIP's weights too. CLIP's own preprocessing is
    replaced as in `clip-decoder`: the whole image is squeezed to a square.

    Any prompter may ask, and each prompt gets one mask. The network knows single clicks, so all is
    made of these. Several points on the object are asked one by one, and their logits averaged. So
    are background points, and a pixel that one of them claims with a larger logit than the object
    does is not the object's. A box without points on the object is asked by its middle, and nothing
    outside of a box belongs to the object. A coarse mask alone is asked by the place of its largest
    logit. A prompt that names no place on the object gets no mask.

    The score of a mask M is the IoU that the network's own probabilities p expect of it: the sum of
    p in M over the size of M plus the sum of p outside. It is 1 where the network is sure of each
    pixel, and 0 for an empty mask.
    """

    name = "point-clip"

    train_size = 224
    train_rate = 1e-5
    clicks = True
    half = True

    model: str = DEFAULT
    """What to begin training with: a CLIP's folder (config.json and weights), or a name of the
    Hugging Face hub that was fetched before (segkit weights fetch hf:OWNER/NAME)."""

    levels: int = Field(4, ge=1, le=6)
    """Levels of the decoder, each of twice the side and half the channels. With weights, theirs
    count."""

    sigma: float = Field(0.5, gt=0)
    """Standard deviation of the click's Gaussian, in patches of CLIP. The source report has a sharp
    one, without a figure; ours is wider, for much below 0.4 each patch sees too little of it, and
    learning takes very long. With weights, theirs counts."""

    _clip: ClipSettings | None = PrivateAttr(None)

    def network(self, classes: int) -> nn.Module:
        """Pixels (b, 3, h, w) and points (b, 2) to logits (b, 2, h, w), with CLIP's weights.

        Raises `UsageError` where CLIP is not there or damaged, `MissingExtraError` without
        transformers.
        """
        from segkit_plugins.segmenter._clip import load_clip

        vision, self._clip = load_clip(f"--{self.name}.model", self.model)
        return self._built(vision)

    def settings(self) -> dict[str, Any]:
        """The options, and the settings of the CLIP that was trained."""
        return {**super().settings(), "clip": self._clip}

    def rebuilt(self, settings: Mapping[str, Any], classes: int) -> nn.Module:
        """The network of a file's settings, with random weights; nothing else is read."""
        from segkit_plugins.segmenter._clip import clip_vision, split

        options, clip = split(settings, f"the weights {self.weights}", self.name)
        step = type(self).model_validate(options)
        return step._built(clip_vision(f"--{self.name}.weights {self.weights}", clip))

    def _built(self, vision: nn.Module) -> nn.Module:
        from segkit_plugins.segmenter._clip_net import PointClipNet

        depth = 2 * int(vision.config.hidden_size)  # type: ignore[union-attr, arg-type]
        if depth % 2**self.levels:
            raise UsageError(
                f"--point-clip.levels {self.levels} would halve the {depth} channels of the tokens "
                "too often; give fewer"
            )
        return PointClipNet(vision, self.levels, self.sigma)

    def loss(
        self,
        network: nn.Module,
        stage: str,
        examples: Examples,
        criterion: Callable[[Tensor, Tensor], Tensor],
    ) -> tuple[Tensor, Tensor | None]:
        """The loss and the logits of a step; an image with two clicks goes through CLIP once."""
        import torch

        pixels = examples.pixels
        if len(pixels) % 2 == 0 and torch.equal(pixels[::2], pixels[1::2]):
            pixels = pixels[::2]
        logits = network(pixels, examples.points)
        return criterion(logits, examples.target), logits

    def encode(self, image: Image) -> Any:
        """The image's tokens, a tensor (1, width, rows, columns), whatever is asked about it."""
        import torch

        known = self.trained
        pixels = torch.tensor(squeezed(image.pixels, known.size), device=known.device)
        with torch.inference_mode():
            return known.network.tokens(pixels.permute(2, 0, 1)[None].float() / 255)

    def __call__(self, image: Image, prompts: Prompts, encoding: Any) -> Masks:
        """A mask (H, W) for each prompt that names a place on the object, in their order."""
        import torch

        with torch.inference_mode():
            return gathered(self._answers(image, prompts, encoding), prompts, image.size)

    def _answers(self, image: Image, prompts: Prompts, encoding: Tensor) -> Iterator[Answer]:
        import torch

        asked = [(i, p, on_object(p, image.size)) for i, p in enumerate(prompts)]
        asked = [(i, p, on) for i, p, on in asked if len(on)]
        if not asked:
            return
        clicks = [np.concatenate([on, p.points[~p.signs]]) for _, p, on in asked]
        claims = self._claims(np.concatenate(clicks), image.size, encoding)
        frame = Frame(
            side=self.trained.size,
            low=(claims.shape[-2], claims.shape[-1]),
            inside=(self.trained.size, self.trained.size),
            size=image.size,
            by_input=False,
        )
        each = torch.split(claims, [len(c) for c in clicks])
        for (place, prompt, on), claim in zip(asked, each, strict=True):
            low = claim[: len(on)].mean(dim=0)
            if len(claim) > len(on):
                low = torch.minimum(low, low - claim[len(on) :].amax(dim=0))
            mask = frame.masks(low[None, None])[0].cpu().numpy()
            if prompt.box is not None:  # cut at full size: a low pixel is many wide
                rows, columns = inside(prompt.box, image.size, image.size)
                mask &= rows[:, None] & columns
                rows, columns = inside(prompt.box, frame.low, image.size)
                shut = ~torch.from_numpy(rows[:, None] & columns).to(low.device)
                low = torch.where(shut, low.clamp(max=SURELY_NOT), low)
            score = np.array([expected_iou(low)])
            yield place, mask, score, low[None].cpu().numpy()

    def _claims(
        self, points: NDArray[np.float32], size: tuple[int, int], encoding: Tensor
    ) -> Tensor:
        """Logits (n, h, w) of each point alone; x and y in pixels of the image of (H, W)."""
        import torch

        known = self.trained
        scaled = (points + 0.5) * (known.size / np.array(size[::-1], np.float32)) - 0.5
        given = torch.from_numpy(scaled.astype(np.float32)).to(known.device)
        input_size = (known.size, known.size)
        made = [
            known.network.low(encoding.expand(len(some), -1, -1, -1), some, input_size)
            for some in torch.split(given, CHUNK)
        ]
        both = torch.cat(made).float()
        return both[:, 1] - both[:, 0]


def on_object(prompt: Prompt, size: tuple[int, int]) -> NDArray[np.float32]:
    """(n, 2) x and y in pixels of the image of (H, W): the clicks that stand for a prompt."""
    points = prompt.points[prompt.signs]
    if not len(points) and prompt.box is not None:
        points = prompt.box.reshape(2, 2).mean(axis=0, keepdims=True)
    elif not len(points) and prompt.mask is not None and prompt.mask.size:
        row, column = np.unravel_index(prompt.mask.argmax(), prompt.mask.shape)
        sides = np.array(size[::-1]) / np.array(prompt.mask.shape[::-1])
        points = ((np.array([[column, row]]) + 0.5) * sides - 0.5).astype(np.float32)
    return points


def inside(
    box: NDArray[np.float32], shape: tuple[int, int], size: tuple[int, int]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows (h,) and columns (w,) of a grid over the image of (H, W) are inside of a box.

    Those whose middle is, or of cells larger than a pixel those that the box touches; the box's
    first and last pixels belong to it.
    """
    axes = []
    for axis in (1, 0):
        cells, pixels = shape[1 - axis], size[1 - axis]
        middles = (np.arange(cells) + 0.5) * pixels / cells - 0.5
        reach = max(0.5, pixels / cells / 2)
        axes.append((middles >= box[axis] - reach) & (middles <= box[axis + 2] + reach))
    return axes[0], axes[1]


def expected_iou(logits: Tensor) -> float:
    """The IoU of the mask, where logits (h, w) exceed 0, that their probabilities expect."""
    chance = logits.sigmoid()
    mask = logits > 0
    union = mask.sum() + chance[~mask].sum()
    return float(chance[mask].sum() / union) if mask.any() else 0.0


@hookimpl
def segkit_segmenters() -> Sequence[type[Segmenter]]:
    """Register `point-clip`."""
    return [PointClip]
