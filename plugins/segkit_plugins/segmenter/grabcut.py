"""GrabCut: colours of the hot and of the cold parts decide; needs no weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from segkit import Heatmap, Image, Masks, MissingExtraError, Prompt, Prompts, Segmenter, hookimpl

LARGEST = 512
"""Longer side that the image is worked on at: GrabCut's time grows with its pixels."""

SURE = 3
"""Radius in pixels around a click that is taken for sure."""


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
        found: list[tuple[int, NDArray[np.bool_]]] = []
        for place, prompt in enumerate(asked):
            if prompts is not None and prompt.empty:
                continue
            mask = self._cut(image, self._seeds(image.size, prompt, heatmap))
            if mask is not None:
                found.append((place, mask))
        if not found:
            return Masks.none(image.size)
        scores = [heatmap.values[m].mean() if m.any() else 0.0 for _, m in found]
        return Masks(
            np.stack([m for _, m in found]),
            np.array(scores, np.float32),
            [place for place, _ in found],
            tuple(asked[place].name or heatmap.name for place, _ in found),
        )

    def _seeds(self, size: tuple[int, int], prompt: Prompt, heatmap: Heatmap) -> NDArray[np.uint8]:
        """(H, W) of OpenCV's marks: 0 surely background, 1 surely object, 2 and 3 probably so."""
        marks = np.full(size, 2, np.uint8)
        rows, columns = np.arange(size[0])[:, None], np.arange(size[1])
        if heatmap.values.any():
            heat = heatmap.values / heatmap.values.max()
            marks[heat >= self.level] = 3
            marks[heat >= self.sure] = 1
            marks[heat < self.cold] = 0
        if prompt.mask is not None:
            marks[_resized(prompt.mask, size) > 0] = 3
        if prompt.box is not None:
            x0, y0, x1, y1 = prompt.box
            inside = (columns >= x0) & (columns <= x1) & (rows >= y0) & (rows <= y1)
            if not heatmap.values.any():
                marks[inside] = 3
            marks[~inside] = 0
        for (x, y), sign in zip(prompt.points, prompt.signs, strict=True):
            marks[(columns - x) ** 2 + (rows - y) ** 2 <= SURE**2] = 1 if sign else 0
        return marks

    def _cut(self, image: Image, marks: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
        """The mask (H, W), or None where all marks are on one side."""
        import cv2

        height, width = image.size
        scale = min(1.0, LARGEST / max(height, width))
        small = (max(1, round(width * scale)), max(1, round(height * scale)))
        bgr: Any = cv2.resize(image.pixels[..., ::-1], small, interpolation=cv2.INTER_AREA)
        cut: Any = cv2.resize(marks, small, interpolation=cv2.INTER_NEAREST)
        if not 0 < np.isin(cut, (1, 3)).sum() < cut.size:
            return None
        cv2.setRNGSeed(0)  # the colour models start from k-means
        one, other = np.zeros((1, 65)), np.zeros((1, 65))
        whole = (0, 0, 0, 0)  # not looked at: the marks say where to start
        cv2.grabCut(bgr, cut, whole, one, other, self.iterations, cv2.GC_INIT_WITH_MASK)
        mask: Any = np.isin(cut, (1, 3)).astype(np.float32)
        return np.asarray(cv2.resize(mask, (width, height)) > 0.5)


def _resized(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    import cv2

    return np.asarray(cv2.resize(np.array(values), (size[1], size[0])), np.float32)


@hookimpl
def segkit_segmenters() -> Sequence[type[Segmenter]]:
    """Register `grabcut`."""
    return [GrabCut]
