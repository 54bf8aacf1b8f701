"""Segment Anything: masks for points, boxes and coarse masks; `nano` ships with segkit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segkit import Image, Masks, Prompt, Prompts, Segmenter, Weights, hookimpl
from segkit_plugins.segmenter._prompted import Frame, Gathering, alike, ambiguous, answers_of
from segkit_plugins.segmenter.sam.model import Encoding, SamStep, official

CHUNK = 8
"""Prompts decoded at a time; bounds memory, and a few at a time stay in the processor's cache."""

CHUNK_TOGETHER = 64
"""The same on a GPU, where they may be of several images …"""

PIXELS = 1 << 28
"""… and fewer of large ones: so many pixels of a candidate each wait there together, 256 MiB."""


class Sam(SamStep):
    """Segment Anything (Kirillov et al. 2023) by its authors' package, or the bundled `nano`.

    Points, boxes and mask logits go in, in the image's pixels; out come candidate masks in the
    image's own size with the IoU that the model expects of each, and low-resolution logits that
    cover the whole image (without the model's padding). A prompt that asks nothing gets no mask.
    """

    name = "sam"
    concurrent = True

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
        return self._answered([{"image": image, "prompts": prompts, "encoding": encoding}])[0]

    def batch(self, inputs: Sequence[Mapping[str, Any]]) -> list[Masks]:
        """The same of several images; on a GPU their prompts are decoded together."""
        if self._together:
            return self._answered(inputs)
        return [self._answered([values])[0] for values in inputs]

    def _answered(self, inputs: Sequence[Mapping[str, Any]]) -> list[Masks]:
        """Candidates for the prompts of each image."""
        import torch

        frames = [self._frame(values["encoding"], values["image"].size) for values in inputs]
        gatherings = [Gathering(values["prompts"], values["image"].size) for values in inputs]
        asked = [
            (image, place, prompt)
            for image, values in enumerate(inputs)
            for place, prompt in enumerate(values["prompts"])
        ]
        most = CHUNK
        if self._together:
            largest = max(frame.size[0] * frame.size[1] for frame in frames)
            most = max(CHUNK, min(CHUNK_TOGETHER, PIXELS // largest))
        decoder = self._decoder
        with torch.inference_mode():
            seen = self._see([values["encoding"] for values in inputs])
            for group, prompts in alike((prompt for *_, prompt in asked), self._several, most):
                images = [asked[i][0] for i in group]
                own = decoder.pick(seen, images)
                answers = self._decode(prompts, own, [frames[image] for image in images])
                for i, answer in zip(group, answers, strict=True):
                    gatherings[asked[i][0]].add(asked[i][1], *answer)
        return [gathering.done() for gathering in gatherings]

    def _see(self, encodings: Sequence[Encoding]) -> Any:
        """What all prompts on these share; a single one keeps it for the prompts to come."""
        import torch

        see = self._decoder.see
        if len(encodings) > 1:
            return see(torch.cat([encoding.embedding for encoding in encodings]))
        return self._shared.of(encodings[0], see)

    def _several(self, prompt: Prompt) -> bool:
        """Whether this prompt gets three candidates."""
        return ambiguous(prompt) if self.multimask == "auto" else self.multimask == "on"

    def _decode(
        self, prompts: Sequence[Prompt], seen: Any, frames: Sequence[Frame]
    ) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
        """Of prompts that look alike masks (c, H, W), scores (c,) and logits (c, h, w) each.

        `seen`: what their images are to them; `frames`: how each prompt's image lies in the model.
        """
        which = [1, 2, 3] if self._several(prompts[0]) else [0]
        decoder = self._decoder
        answers, places = decoder.attend(seen, *decoder.ask(*self._tensors(prompts, frames)))
        low = decoder.draw(seen, answers, places, which)
        scores = decoder.quality(answers)[:, which]
        return answers_of(frames, low, scores, self._sam.mask_threshold)

    def _tensors(self, prompts: Sequence[Prompt], frames: Sequence[Frame]) -> tuple[Any, Any, Any]:
        """Points (B, n, 2) with labels (B, n), boxes (B, 4) and masks; None where none are."""
        import torch

        from segkit_plugins.shared.devices import to_device

        pairs = [*zip(prompts, frames, strict=True)]
        points = boxes = masks = None
        if len(prompts[0].points):
            coords = np.stack([f.placed(p.points) for p, f in pairs])
            signs = np.stack([p.signs for p in prompts])
            points = (
                to_device(torch.as_tensor(coords, dtype=torch.float32), self._device),
                to_device(torch.as_tensor(signs, dtype=torch.int64), self._device),
            )
        if prompts[0].box is not None:
            corners = [f.placed(p.box.reshape(2, 2)) for p, f in pairs if p.box is not None]
            boxes = to_device(
                torch.as_tensor(np.stack(corners)).float().reshape(-1, 4), self._device
            )
        if prompts[0].mask is not None:
            fitted = [f.fitted(p.mask) for p, f in pairs if p.mask is not None]
            masks = to_device(torch.stack(fitted), self._device)
        return points, boxes, masks


@hookimpl
def segkit_segmenters() -> list[type[Segmenter]]:
    """Register it."""
    return [Sam]
