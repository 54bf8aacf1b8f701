"""CLIP with the U-Net's decoder: class maps of what CLIP's image half sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field, PositiveInt, PrivateAttr

from segkit import Segmenter, TrainedSegmenter, UsageError, hookimpl
from segkit_plugins.segmenter._clip import DEFAULT, ClipSettings

if TYPE_CHECKING:
    from torch import nn


class ClipDecoder(TrainedSegmenter):
    """The class of each pixel by CLIP's image half (Radford et al. 2021) and a U-Net's decoder.

    The patch tokens, without the class token, are put back where the patches lie (768×7×7 for
    ViT-B/32 at 224 px), projected to the depth of a U-Net's bottom, and go through its decoder
    without skips; the logits are resized to the image bilinearly. CLIP is trained along, unless it
    is frozen. Train it first: segkit train clip-decoder --dataset D -o FILE. The file holds CLIP's
    weights too, so that working with it needs neither hub nor folder.

    What CLIP's own preprocessing does is replaced: where it resizes the shorter side and cuts the
    middle out, here the whole image is squeezed to a square, so that each pixel has a class; the
    normalisation with CLIP's mean and standard deviation is the network's first step. For other
    sizes than CLIP's own (`--train.size`) its position embeddings are interpolated.
    """

    name = "clip-decoder"

    train_size = 224
    train_rate = 1e-5
    half = True

    model: str = DEFAULT
    """What to begin training with: a CLIP's folder (config.json and weights), or a name of the
    Hugging Face hub that was fetched before (segkit weights fetch hf:OWNER/NAME)."""

    bottom: PositiveInt = 1024
    """Channels that the tokens are projected to; they are halved at each level. With weights,
    theirs count."""

    levels: int = Field(4, ge=1, le=6)
    """Levels of the decoder, each of twice the side. With weights, theirs count."""

    frozen: bool = False
    """Whether CLIP stays as it is and the decoder alone is trained."""

    _clip: ClipSettings | None = PrivateAttr(None)

    def network(self, classes: int) -> nn.Module:
        """Pixels (b, 3, h, w) to logits (b, classes, h, w), with CLIP's weights.

        Raises `UsageError` where CLIP is not there or damaged, `MissingExtraError` without
        transformers.
        """
        from segkit_plugins.segmenter._clip import load_clip

        vision, self._clip = load_clip(f"--{self.name}.model", self.model)
        return self._built(vision, classes)

    def settings(self) -> dict[str, Any]:
        """The options, and the settings of the CLIP that was trained."""
        return {**super().settings(), "clip": self._clip}

    def rebuilt(self, settings: Mapping[str, Any], classes: int) -> nn.Module:
        """The network of a file's settings, with random weights; nothing else is read."""
        from segkit_plugins.segmenter._clip import clip_vision, split

        options, clip = split(settings, f"the weights {self.weights}", self.name)
        step = type(self).model_validate(options)
        return step._built(clip_vision(f"--{self.name}.weights {self.weights}", clip), classes)

    def _built(self, vision: nn.Module, classes: int) -> nn.Module:
        from segkit_plugins.segmenter._clip_net import ClipDecoderNet

        if self.bottom % 2**self.levels:
            raise UsageError(
                f"--clip-decoder.bottom {self.bottom} cannot be halved {self.levels} times "
                f"(--clip-decoder.levels); give a multiple of {2**self.levels}"
            )
        return ClipDecoderNet(vision, self.bottom, self.levels, classes, self.frozen)


@hookimpl
def segkit_segmenters() -> Sequence[type[Segmenter]]:
    """Register `clip-decoder`."""
    return [ClipDecoder]
