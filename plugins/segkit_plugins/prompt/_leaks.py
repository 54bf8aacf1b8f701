"""Leaks of a mask: where other masks disagree with it, across an edge of the picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segkit import Masks, Prompt
from segkit_plugins.prompt._regions import Region, hot, middle, parts, tight_box

CORE, WIDE = 0.5, 0.3
"""Heat of the regions that other strategies ask for, as a share of the maximum."""
INSIDE = 0.8
"""A candidate of the same prompt is a smaller answer if this share of it lies in the mask."""
SMALLER = 0.95
"""It, and a leak, hold less than this share of the mask."""
MOST_PARTS = 3
"""Connected parts of one leak."""
SIGMA = 1 / 200
"""Scale of the picture's edges, as a share of its longer side."""


class Leak(NamedTuple):
    """Pixels of a mask that should not be in it, and how plainly."""

    parts: list[Region]
    """Connected, (H, W) each, the largest first."""
    edge: float
    """The picture's mean gradient where they touch the rest of the mask, over that where they touch
    what is outside of the mask; infinite where they touch only one of both."""

    @property
    def region(self) -> Region:
        """All parts, (H, W)."""
        region: Region = np.logical_or.reduce(self.parts)
        return region


def strategies(heat: NDArray[np.float32]) -> list[Prompt]:
    """How else one may ask for what a heatmap's values (H, W) show; nothing without heat.

    The tight box of the largest hot region; its most interior pixel; this with a wider box.
    """
    region = next(iter(parts(hot(heat, CORE), 1)), None)
    if region is None:
        return []
    point = middle(region)
    return [
        Prompt(box=tight_box(region)),
        Prompt(points=[point]),
        Prompt(points=[point], box=tight_box(hot(heat, WIDE))),
    ]


def best_answers(masks: Masks, prompts: Iterable[int]) -> list[Region]:
    """The mask of the highest score for each of these prompts that has one, (H, W) each."""
    answers = []
    for prompt in prompts:
        own = np.flatnonzero(masks.prompt == prompt)
        if len(own):
            answers.append(masks.at(int(own[np.argmax(masks.scores[own])])))
    return answers


def smaller_answers(mask: Region, candidates: Sequence[Region]) -> list[Region]:
    """The largest and the smallest of the candidates that lie in the mask and are smaller."""
    area = np.count_nonzero(mask)
    inside = [
        (size, candidate)
        for candidate in candidates
        if 0 < (size := np.count_nonzero(candidate)) < SMALLER * area
        and np.count_nonzero(candidate & mask) >= INSIDE * size
    ]
    inside.sort(key=lambda pair: pair[0])
    return [candidate for _, candidate in (inside[-1:] + inside[:-1][:1])]


def left_out(mask: Region, others: Sequence[Region]) -> list[Region]:
    """What each of the others leaves out of the mask, and what all do; none twice, (H, W) each."""
    regions = [mask & ~other for other in others]
    if len(others) > 1:
        regions.append(mask & ~np.logical_or.reduce(others))
    return [
        region
        for place, region in enumerate(regions)
        if not any(np.array_equal(region, known) for known in regions[:place])
    ]


def leak_of(
    mask: Region, region: Region, prompt: Prompt, gradient: NDArray[np.float32], least: float
) -> Leak | None:
    """The region's parts of at least `least` × the mask's area that hold no foreground point.

    None without any, or where they are nearly all of the mask. `gradient` is (H, W).
    """
    area = np.count_nonzero(mask)
    height, width = mask.shape
    x, y = np.rint(prompt.points[prompt.signs]).clip(0, (width - 1, height - 1)).astype(int).T
    own = [
        part
        for part in parts(region, MOST_PARTS, max(1, round(least * area)))
        if not part[y, x].any()
    ]
    if not own:
        return None
    leak: Region = np.logical_or.reduce(own)
    if np.count_nonzero(leak) >= SMALLER * area:
        return None
    return Leak(own, _edge(gradient, leak, mask))


def gradient_of(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W) float32: the magnitude of the smoothed gradient of pixels (H, W, 3), all channels."""
    from scipy import ndimage

    sigma = SIGMA * max(pixels.shape[:2])
    channels = np.moveaxis(pixels.astype(np.float32) / 255, 2, 0)
    squares = (ndimage.gaussian_gradient_magnitude(channel, sigma) ** 2 for channel in channels)
    return np.asarray(np.sqrt(sum(squares)), np.float32)


def _edge(gradient: NDArray[np.float32], leak: Region, mask: Region) -> float:
    """`Leak.edge` of a region."""
    from scipy import ndimage

    wide = max(1, round(SIGMA * max(mask.shape)))
    near_leak, near_rest, near_outside = (
        ndimage.binary_dilation(region, iterations=wide) for region in (leak, mask & ~leak, ~mask)
    )
    seam, outline = near_leak & near_rest, near_leak & near_outside
    if not seam.any() or not outline.any():
        return float("inf")
    return float(gradient[seam].mean() / max(float(gradient[outline].mean()), 1e-9))


def without(logits: NDArray[np.float32], region: Region) -> NDArray[np.float32]:
    """Mask logits (h, w) over the whole image that speak against a region (H, W)."""
    rows, columns = (
        ((np.arange(own) + 0.5) * full / own).astype(int)
        for own, full in zip(logits.shape, region.shape, strict=True)
    )
    return np.where(region[np.ix_(rows, columns)], -np.abs(logits), logits).astype(np.float32)
