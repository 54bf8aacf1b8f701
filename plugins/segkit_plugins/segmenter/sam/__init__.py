"""Segment Anything: masks for points, boxes and coarse masks; `nano` ships with segkit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segkit import Image, Masks, Prompt, Prompts, Segmenter, Weights, hookimpl
from segkit_plugins.segmenter._prompted import Frame, alike, ambiguous, gathered
from segkit_plugins.segmenter.sam.model import Encoding, SamStep, official

CHUNK = 8
"""Prompts decoded at a time; bounds memory, and a few at a time stay in the processor's cache."""


class Sam(SamStep):
    """Segment Anything (Kirillov et al. 2023) by its authors' package, or the bundled `nano`.

    Points, boxes and mask logits go in, in the image's pixels; out come candidate masks in the
    image's own size with the IoU that the model expects of each, and low-resolution logits that
    cover the whole image (without the model's padding). A prompt that asks nothing gets no mask.
    """

    name = "sam"

    multimask: Literal["auto", "on", "off"] = "auto"
    """Three candidates per prompt, or one. auto: three for a single point, which may mean a part
    or the whole; one for a box or several points."""

    @classmethod
    def known_weights(cls) -> tuple[Weights, ...]:
        """Those that ship with segkit, and Segment Anything's official checkpoints."""
        from segkit_plugins.shared.weights import shipped

        nano = shipped("nano", "The bundled SAM: points, boxes and masks at 320 px; see its card")
        before = shipped("nano-2", "The bundled SAM before it, at 256 px; see its card")
        return (nano, before, *official())

    def __call__(self, image: Image, prompts: Prompts, encoding: Encoding) -> Masks:
        """Candidates for each prompt, in the order of the prompts."""
        import torch

        frame = self._frame(encoding, image.size)
        with torch.inference_mode():
            seen = self._decoder.see(encoding.embedding)
            answers = (
                answer
                for places, some in alike(prompts, self._several, CHUNK)
                for answer in zip(places, *self._decode(some, seen, frame), strict=True)
            )
            return gathered(answers, prompts, image.size)

    def _several(self, prompt: Prompt) -> bool:
        """Whether this prompt gets three candidates."""
        return ambiguous(prompt) if self.multimask == "auto" else self.multimask == "on"

    def _decode(
        self, prompts: Sequence[Prompt], seen: Any, frame: Frame
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Masks (n, c, H, W), scores (n, c) and logits (n, c, h, w) of prompts that look alike."""
        import torch

        device = self._device
        points = boxes = masks = None
        if len(prompts[0].points):
            coords = np.stack([frame.placed(p.points) for p in prompts])
            signs = np.stack([p.signs for p in prompts])
            points = (
                torch.as_tensor(coords, dtype=torch.float32, device=device),
                torch.as_tensor(signs, dtype=torch.int64, device=device),
            )
        if prompts[0].box is not None:
            corners = np.stack([p.box.reshape(2, 2) for p in prompts if p.box is not None])
            boxes = torch.as_tensor(frame.placed(corners), dtype=torch.float32, device=device)
            boxes = boxes.reshape(-1, 4)
        if prompts[0].mask is not None:
            masks = torch.stack([frame.fitted(p.mask) for p in prompts if p.mask is not None]).to(
                device
            )
        which = [1, 2, 3] if self._several(prompts[0]) else [0]
        decoder = self._decoder
        answers, places = decoder.attend(seen, *decoder.ask(points, boxes, masks))
        low = decoder.draw(seen, answers, places, which)
        scores = decoder.quality(answers)[:, which]
        rows, columns = frame.covered
        return (
            frame.masks(low, self._sam.mask_threshold).cpu().numpy(),
            scores.cpu().numpy(),
            low[..., :rows, :columns].cpu().numpy(),
        )


@hookimpl
def segkit_segmenters() -> list[type[Segmenter]]:
    """Register it."""
    return [Sam]
