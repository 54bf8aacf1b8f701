"""GrabCut: colours of the hot and of the cold parts decide; needs no weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from segkit import (
    Heatmap,
    Image,
    Masks,
    MaskStack,
    MissingExtraError,
    Prompt,
    Prompts,
    Segmenter,
    hookimpl,
)

LARGEST = 512
"""Longer side that the image is worked on at: GrabCut's time grows with its pixels."""

SURE = 3
"""Radius around a click that is taken for sure, in pixels of the image as it is worked on."""


class GrabCut(Segmenter):
    """GrabCut (Rother et al. 2004) by OpenCV, started from heatmap and prompts: a baseline.

    The heatmap's hottest pixels are surely object, its warm ones probably, its cold ones surely
    background. A prompt adds to that: its foreground points are surely object, its background
    points surely background, and so is all outside of its box. Colour models of both sides and a
    graph cut along edges then make the mask.

    One mask for each prompt, or one for each heatmap with `--prompt none`. Where all pixels would
    start on one side, as without heat and clicks, there is no mask. Images are worked on at up to
    512 px. A mask's score is the mean heat inside.
    """

    name = "grabcut"

    level: float = Field(0.35, gt=0, le=1)
    """Heat from which a pixel is probably object, as a share of the maximum."""

    sure: float = Field(0.8, gt=0, le=1)
    """Heat from which a pixel is surely object, as a share of the maximum."""

    cold: float = Field(0.05, ge=0, le=1)
    """Heat below which a pixel is surely background, as a share of the maximum."""

    iterations: PositiveInt = 3
    """How often colour models and cut are made anew."""

    def open(self, device: str) -> None:
        """Check that OpenCV is there."""
        try:
            import cv2  # noqa: F401
        except ModuleNotFoundError:
            raise MissingExtraError("--segmenter grabcut", "OpenCV", "opencv") from None

    def __call__(self, image: Image, heatmap: Heatmap, prompts: Prompts | None = None) -> Masks:
        """Masks (n, H, W), n at most the number of prompts."""
        asked: Sequence[Prompt] = (Prompt(),) if prompts is None else prompts.items
        values = heatmap.values
        scene = Scene.of(image, values)
        stack = MaskStack(image.size, sum(not prompt.empty for prompt in asked))
        places: list[int] = []
        scores: list[float] = []
        for place, prompt in enumerate(asked):
            if prompts is not None and prompt.empty:
                continue
            mask = self._cut(scene, prompt)
            if mask is not None:
                stack.add(mask[None])
                places.append(place)
                scores.append(values[mask].mean() if mask.any() else 0.0)
        if not places:
            return Masks.none(image.size)
        names = tuple(asked[place].name or heatmap.name for place in places)
        return Masks(stack.done(), np.array(scores, np.float32), places, names)

    def _cut(self, scene: Scene, prompt: Prompt) -> NDArray[np.bool_] | None:
        """The mask (H, W), or None where all marks are on one side."""
        import cv2

        marks: Any = self._marks(prompt, scene)
        if not 0 < np.isin(marks, (1, 3)).sum() < marks.size:
            return None
        cv2.setRNGSeed(0)  # the colour models start from k-means
        background_model, foreground_model = np.zeros((1, 65)), np.zeros((1, 65))
        whole = (0, 0, 0, 0)  # not looked at: the marks say where to start
        cv2.grabCut(
            scene.bgr,
            marks,
            whole,
            background_model,
            foreground_model,
            self.iterations,
            cv2.GC_INIT_WITH_MASK,
        )
        mask: Any = np.isin(marks, (1, 3)).astype(np.float32)
        return np.asarray(cv2.resize(mask, scene.size[::-1]) > 0.5)

    def _marks(self, prompt: Prompt, scene: Scene) -> NDArray[np.uint8]:
        """OpenCV's marks at (h, w): 0 surely background, 1 surely object, 2 and 3 probably so."""
        heat, warm = scene.heat, scene.warm
        size: tuple[int, int] = heat.shape
        marks = np.full(size, 2, np.uint8)
        rows, columns = np.arange(size[0])[:, None], np.arange(size[1])
        per_pixel = np.array(size[::-1]) / np.array(scene.size[::-1])
        if warm:
            marks[heat >= self.level] = 3
            marks[heat >= self.sure] = 1
            marks[heat < self.cold] = 0
        if prompt.mask is not None:
            marks[_resized(prompt.mask, size) > 0] = 3
        if prompt.box is not None:
            x0, y0, x1, y1 = (prompt.box.reshape(2, 2) + 0.5).dot(np.diag(per_pixel)).ravel() - 0.5
            inside = (columns >= x0 - 0.5) & (columns <= x1 + 0.5)
            inside = inside & (rows >= y0 - 0.5) & (rows <= y1 + 0.5)
            if not warm:
                marks[inside] = 3
            marks[~inside] = 0
        for point, sign in zip(prompt.points, prompt.signs, strict=True):
            x, y = (point + 0.5) * per_pixel - 0.5
            marks[(columns - x) ** 2 + (rows - y) ** 2 <= SURE**2] = 1 if sign else 0
        return marks


@dataclass(frozen=True, eq=False)
class Scene:
    """An image as it is worked on: the same for all prompts."""

    size: tuple[int, int]
    """(H, W) of the image itself."""
    bgr: Any
    """(h, w, 3) uint8."""
    heat: NDArray[np.float32]
    """(h, w): 1 at the hottest, or all 0."""
    warm: bool
    """Whether there is heat."""

    @classmethod
    def of(cls, image: Image, heat: NDArray[np.float32]) -> Scene:
        """The image and its heat (H, W), made small."""
        import cv2

        height, width = image.size
        scale = min(1.0, LARGEST / max(height, width))
        small = (max(1, round(height * scale)), max(1, round(width * scale)))
        bgr = cv2.resize(image.pixels[..., ::-1], small[::-1], interpolation=cv2.INTER_AREA)
        heat = _resized(heat, small)
        warm = bool(heat.max() > 0)
        return cls(image.size, bgr, heat / heat.max() if warm else heat, warm)


def _resized(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    import cv2

    resized = cv2.resize(np.array(values), (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.float32)


@hookimpl
def segkit_segmenters() -> Sequence[type[Segmenter]]:
    """Register `grabcut`."""
    return [GrabCut]
